//! The metrics and labels that a `PromQL` expression names. Not a parser: `promtool` is one; this finds names.

/// One `metric{label="value"}` of an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    /// The metric.
    pub metric: String,
    /// Its matchers.
    pub matchers: Vec<Matcher>,
}

/// One `label="value"`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matcher {
    /// The label.
    pub label: String,
    /// `=`, `!=`, `=~` or `!~`.
    pub operator: String,
    /// The value, or what it is compared with.
    pub value: String,
}

impl Matcher {
    /// The values that it asks for by name: of `=`, and of the simple `=~"a|b"`.
    pub fn plain_values(&self) -> Vec<&str> {
        let plain = |text: &&str| !text.contains(['.', '*', '+', '[', '(', ')', '$', '?', '\\']);
        match self.operator.as_str() {
            "=" => vec![self.value.as_str()],
            "=~" => self.value.split('|').filter(plain).collect(),
            _ => Vec::new(),
        }
    }
}

/// Prefixes of what is a metric for us; every other word is a function, a keyword or a label.
fn is_metric(word: &str) -> bool {
    word.starts_with("haetae") || word.starts_with("process_") || word == "up" || word == "ALERTS"
}

/// Every selector of `expression`.
pub fn selectors(expression: &str) -> Vec<Selector> {
    let mut found = Vec::new();
    let mut rest = expression;
    while let Some((word, after)) = next_word(rest) {
        rest = after;
        if !is_metric(word) {
            continue;
        }
        let mut matchers = Vec::new();
        if let Some(inside) = rest.strip_prefix('{') {
            let (read, after) = read_matchers(inside);
            matchers = read;
            rest = after;
        }
        found.push(Selector { metric: word.to_owned(), matchers });
    }
    found
}

/// The labels that results are grouped or matched by.
pub fn grouping_labels(expression: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = expression;
    while let Some((word, after)) = next_word(rest) {
        rest = after;
        let list = matches!(word, "by" | "without" | "on" | "ignoring");
        if list && let Some(inside) = rest.trim_start().strip_prefix('(') {
            let (labels, after) = inside.split_once(')').expect("a list ends");
            found.extend(labels.split(',').map(|label| label.trim().to_owned()));
            rest = after;
        }
    }
    found
}

/// The next word outside of strings and braces that are not a metric's, and what follows it.
fn next_word(text: &str) -> Option<(&str, &str)> {
    let mut rest = text;
    loop {
        let first = rest.chars().next()?;
        if first == '"' {
            rest = read_string(rest.get(1..)?).1;
        } else if first.is_ascii_digit() {
            // A number or a duration, such as 14.4 or 5m.
            rest = rest.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '.');
        } else if first.is_ascii_alphabetic() || first == '_' {
            let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'));
            return Some(rest.split_at(end.unwrap_or(rest.len())));
        } else {
            rest = rest.get(first.len_utf8()..)?;
        }
    }
}

/// The matchers up to the closing brace, and what follows it.
fn read_matchers(text: &str) -> (Vec<Matcher>, &str) {
    let mut matchers = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([',', ' ', '\n']);
        if let Some(after) = rest.strip_prefix('}') {
            return (matchers, after);
        }
        let (label, after) = next_word(rest).unwrap_or_else(|| panic!("no end: {text}"));
        let quote = after.find('"').unwrap_or_else(|| panic!("no value: {text}"));
        let (value, after_value) = read_string(&after[quote + 1..]);
        let operator = after[..quote].trim().to_owned();
        matchers.push(Matcher { label: label.to_owned(), operator, value });
        rest = after_value;
    }
}

/// A string whose opening quote is read, and what follows its closing one.
fn read_string(text: &str) -> (String, &str) {
    let (mut value, mut escaped) = (String::new(), false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => {
                escaped = false;
                value.push(c);
            }
            '\\' => escaped = true,
            '"' => return (value, &text[at + 1..]),
            _ => value.push(c),
        }
    }
    panic!("a string does not end: {text}");
}
