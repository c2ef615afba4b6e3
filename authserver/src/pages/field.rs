//! One field of a form: label, hint and error, tied together for a screen reader.

use askama::Template;

use crate::locale::Language;

/// A field of a form. Its name is also its id on the page.
#[derive(Debug, Template)]
#[template(path = "field.html")]
pub(crate) struct Field {
    name: &'static str,
    label: String,
    kind: &'static str,
    value: String,
    autocomplete: &'static str,
    class: &'static str,
    numeric: bool,
    sends: bool,
    longest: usize,
    hint: Option<String>,
    error: Option<String>,
    optional: Option<String>,
    focused: bool,
}

impl Field {
    /// A line of text.
    pub(crate) fn text(name: &'static str, label: String, autocomplete: &'static str) -> Self {
        Self {
            name,
            label,
            kind: "text",
            value: String::new(),
            autocomplete,
            class: "",
            numeric: false,
            sends: false,
            longest: 256,
            hint: None,
            error: None,
            optional: None,
            focused: false,
        }
    }

    /// A password; `autocomplete` is `current-password` or `new-password`.
    pub(crate) fn password(name: &'static str, label: String, autocomplete: &'static str) -> Self {
        Self { kind: "password", longest: 1024, ..Self::text(name, label, autocomplete) }
    }

    /// A one-time code of six digits.
    pub(crate) fn one_time_code(language: Language) -> Self {
        let field = Self::text("code", language.text("field-code"), "one-time-code");
        Self { class: "code", numeric: true, longest: 16, ..field }
    }

    /// A one-time code, or a recovery code in its place.
    pub(crate) fn any_code(language: Language) -> Self {
        Self { longest: 64, ..Self::one_time_code(language) }
    }

    /// A recovery code.
    pub(crate) fn recovery_code(language: Language) -> Self {
        let field = Self::text("code", language.text("field-recovery-code"), "off");
        Self { class: "long-code", longest: 64, ..field }
    }

    /// An email address.
    pub(crate) fn email(name: &'static str, label: String) -> Self {
        Self { kind: "email", ..Self::text(name, label, "email") }
    }

    /// With another label.
    pub(crate) fn label(mut self, label: String) -> Self {
        self.label = label;
        self
    }

    /// With this value in it.
    pub(crate) fn value(mut self, value: impl Into<String>) -> Self {
        self.value = value.into();
        self
    }

    /// With this hint under the label.
    pub(crate) fn hint(mut self, hint: String) -> Self {
        self.hint = Some(hint);
        self
    }

    /// With what is wrong with it, if something is.
    pub(crate) fn error(mut self, error: Option<String>) -> Self {
        self.error = error;
        self
    }

    /// It may stay empty, and says so.
    pub(crate) fn optional(mut self, language: Language) -> Self {
        self.optional = Some(language.text("optional"));
        self
    }

    /// The cursor begins here.
    pub(crate) const fn focus(mut self) -> Self {
        self.focused = true;
        self
    }

    /// With a script, the form is sent as soon as the code is complete.
    pub(crate) const fn sends(mut self) -> Self {
        self.sends = true;
        self
    }

    /// Lets the cursor begin in the first field with an error, or else in the first field.
    pub(crate) fn focus_first(mut fields: Vec<Self>) -> Vec<Self> {
        let wrong = fields.iter().position(|field| field.error.is_some());
        if let Some(field) = fields.get_mut(wrong.unwrap_or(0)) {
            field.focused = true;
        }
        fields
    }

    /// The ids of what a screen reader reads along with the label: the error before the hint.
    fn described_by(&self) -> Option<String> {
        let parts: Vec<String> = [("error", &self.error), ("hint", &self.hint)]
            .into_iter()
            .filter(|(_, text)| text.is_some())
            .map(|(part, _)| format!("{}-{part}", self.name))
            .collect();
        (!parts.is_empty()).then(|| parts.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_hint_and_error_are_tied_to_the_input() {
        let html = Field::password("password", "Password".to_owned(), "new-password")
            .hint("Long".to_owned())
            .error(Some("Too short".to_owned()))
            .to_string();
        for part in [
            r#"<label for="password">Password</label>"#,
            r#"<p class="hint" id="password-hint">Long</p>"#,
            r#"<p class="error" id="password-error">Too short</p>"#,
            r#"aria-describedby="password-error password-hint""#,
            r#"aria-invalid="true""#,
            r#"type="password""#,
            " required",
        ] {
            assert!(html.contains(part), "{part} in {html}");
        }
    }

    #[test]
    fn what_was_typed_comes_back_as_text_not_as_markup() {
        let html = Field::text("username", "Name".to_owned(), "username")
            .value(r#""><script>alert(1)</script>"#)
            .to_string();
        assert!(!html.contains("<script>") && !html.contains("\"\">"), "{html}");
    }

    #[test]
    fn the_cursor_begins_in_the_first_field_that_is_wrong() {
        let field = |name| Field::text(name, String::new(), "off");
        let fields =
            Field::focus_first(vec![field("a"), field("b").error(Some("wrong".to_owned()))]);
        let focused: Vec<&str> =
            fields.iter().filter(|field| field.focused).map(|field| field.name).collect();
        assert_eq!(focused, ["b"]);
    }
}
