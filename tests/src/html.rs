//! Reading a server-rendered page as a program must: forms, fields, links and visible text.

/// One form of a page.
#[derive(Clone, Debug, Default)]
pub struct Form {
    /// Where it goes, as written.
    pub action: String,
    /// `get` or `post`.
    pub method: String,
    /// Fields with their present values, in order; buttons are apart.
    pub fields: Vec<(String, String)>,
    /// Named submit buttons with their values.
    pub buttons: Vec<(String, String)>,
}

impl Form {
    /// Whether the form asks for `name`.
    pub fn has(&self, name: &str) -> bool {
        self.fields.iter().any(|(field, _)| field == name)
    }

    /// The present value of the field `name`.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }

    /// The form with `name` filled in.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        if let Some(field) = self.fields.iter_mut().find(|(field, _)| field == name) {
            value.clone_into(&mut field.1);
        } else {
            self.fields.push((name.to_owned(), value.to_owned()));
        }
        self
    }

    /// The form without the field `name`.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.fields.retain(|(field, _)| field != name);
        self
    }

    /// The form as sent by the button whose name or value contains one of `words`, or else the first named one.
    #[must_use]
    pub fn pressing(mut self, words: &[&str]) -> Self {
        let chosen = self
            .buttons
            .iter()
            .find(|(name, value)| {
                words.iter().any(|word| name.contains(word) || value.contains(word))
            })
            .or(self.buttons.first())
            .cloned();
        self.fields.extend(chosen);
        self
    }
}

/// Every form of `page`.
pub fn forms(page: &str) -> Vec<Form> {
    let mut forms = Vec::new();
    let mut rest = page;
    while let Some(start) = rest.find("<form") {
        let after = &rest[start..];
        let end = after.find("</form>").unwrap_or(after.len());
        forms.push(form(&after[..end]));
        rest = &after[end..];
    }
    forms
}

fn form(source: &str) -> Form {
    let mut form = Form { method: "get".to_owned(), ..Form::default() };
    for (index, _) in source.match_indices('<') {
        let tag = &source[index + 1..];
        let attributes = attributes(tag);
        let get = |name: &str| {
            attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone())
        };
        if tag.starts_with("form") {
            form.action = get("action").unwrap_or_default();
            form.method = get("method").unwrap_or_else(|| "get".to_owned()).to_lowercase();
        } else if tag.starts_with("input") || tag.starts_with("button") {
            let kind = get("type").unwrap_or_else(|| {
                if tag.starts_with("button") { "submit" } else { "text" }.to_owned()
            });
            let Some(name) = get("name") else { continue };
            let value = get("value").unwrap_or_default();
            match kind.as_str() {
                "submit" => form.buttons.push((name, value)),
                "button" | "reset" | "image" => {}
                "checkbox" | "radio" if get("checked").is_none() => {}
                "checkbox" if value.is_empty() => form.fields.push((name, "on".to_owned())),
                _ => form.fields.push((name, value)),
            }
        } else if tag.starts_with("textarea") {
            if let Some(name) = get("name") {
                form.fields.push((name, String::new()));
            }
        } else if tag.starts_with("select")
            && let Some(name) = get("name")
        {
            let body = tag.split("</select>").next().unwrap_or_default();
            let options: Vec<_> = body
                .split("<option")
                .skip(1)
                .map(|option| self::attributes(&format!("option{option}")))
                .collect();
            let chosen = options
                .iter()
                .find(|option| option.iter().any(|(key, _)| key == "selected"))
                .or(options.first());
            let value = chosen
                .and_then(|option| option.iter().find(|(key, _)| key == "value"))
                .map(|(_, value)| value.clone());
            form.fields.push((name, value.unwrap_or_default()));
        }
    }
    form
}

/// The attributes of the tag that `tag` starts with (after its `<`).
fn attributes(tag: &str) -> Vec<(String, String)> {
    let mut attributes = Vec::new();
    let mut rest = tag.trim_start_matches(|letter: char| letter.is_alphanumeric() || letter == '-');
    loop {
        rest = rest.trim_start();
        if rest.is_empty() || rest.starts_with('>') || rest.starts_with("/>") {
            return attributes;
        }
        let end = rest
            .find(|letter: char| letter == '=' || letter == '>' || letter.is_whitespace())
            .unwrap_or(rest.len());
        let name = rest[..end].to_lowercase();
        rest = rest[end..].trim_start();
        let Some(after) = rest.strip_prefix('=') else {
            attributes.push((name, String::new()));
            continue;
        };
        let after = after.trim_start();
        let (value, left) = if let Some(quote @ ('"' | '\'')) = after.chars().next() {
            after[1..].split_once(quote).unwrap_or((&after[1..], ""))
        } else {
            let end = after
                .find(|letter: char| letter == '>' || letter.is_whitespace())
                .unwrap_or(after.len());
            after.split_at(end)
        };
        attributes.push((name, unescape(value)));
        rest = left;
    }
}

/// Every `href` of a link in `page`.
pub fn links(page: &str) -> Vec<String> {
    page.match_indices("<a ")
        .filter_map(|(index, _)| {
            attributes(&page[index + 1..]).into_iter().find(|(name, _)| name == "href")
        })
        .map(|(_, value)| value)
        .collect()
}

/// What a person reads: `page` without tags, scripts and styles, white space folded.
pub fn text(page: &str) -> String {
    let (mut out, mut rest) = (String::new(), page);
    while let Some(start) = rest.find('<') {
        out.push_str(&rest[..start]);
        out.push(' ');
        let tag = &rest[start..];
        let end = ["script", "style"]
            .iter()
            .filter(|name| tag[1..].starts_with(**name))
            .find_map(|name| tag.find(&format!("</{name}")))
            .unwrap_or(0);
        rest = tag[end..].split_once('>').map_or("", |(_, after)| after);
    }
    out.push_str(rest);
    unescape(&out).split_whitespace().collect::<Vec<_>>().join(" ")
}

fn unescape(text: &str) -> String {
    let mut out = text.to_owned();
    for (entity, plain) in [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&#34;", "\""),
        ("&#39;", "'"),
        ("&#x27;", "'"),
        ("&#x2F;", "/"),
        ("&#60;", "<"),
        ("&#62;", ">"),
        ("&#38;", "&"),
        ("&amp;", "&"),
    ] {
        out = out.replace(entity, plain);
    }
    out
}
