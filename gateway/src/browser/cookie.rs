//! The two cookies of the gateway. Over https their names promise that nobody but this very host set them
//! and that no script reads them (`__Host-Http-`, RFC 10017 6.1.3.2).

use std::time::Duration;

use http::HeaderValue;
use secrecy::{ExposeSecret, SecretString};

/// The names and attributes of the cookies.
#[derive(Debug)]
pub(crate) struct Cookies {
    secure: bool,
    session_age: Duration,
    login_age: Duration,
}

const SESSION: [&str; 2] = ["haetae", "__Host-Http-haetae"];
const LOGIN: [&str; 2] = ["haetae-login", "__Host-Http-haetae-login"];

impl Cookies {
    /// The cookies; `secure` when the public address is https.
    pub(crate) const fn new(secure: bool, session_age: Duration, login_age: Duration) -> Self {
        Self { secure, session_age, login_age }
    }

    /// The name of the session cookie.
    pub(crate) const fn session(&self) -> &'static str {
        let [plain, secure] = SESSION;
        if self.secure { secure } else { plain }
    }

    /// The name of the login-state cookie.
    pub(crate) const fn login(&self) -> &'static str {
        let [plain, secure] = LOGIN;
        if self.secure { secure } else { plain }
    }

    /// Whether `name` is that of a cookie which never goes upstream, over http or https.
    pub(crate) fn is_own(name: &str) -> bool {
        SESSION.contains(&name) || LOGIN.contains(&name)
    }

    /// Sets the session cookie. Strict: no other site's link or form brings it along.
    pub(crate) fn set_session(&self, value: &SecretString) -> HeaderValue {
        self.set(self.session(), value.expose_secret(), "Strict", self.session_age)
    }

    /// Takes the session cookie back.
    pub(crate) fn clear_session(&self) -> HeaderValue {
        self.set(self.session(), "", "Strict", Duration::ZERO)
    }

    /// Sets the login-state cookie. Lax: the authserver's redirect, another site's, must bring it back.
    pub(crate) fn set_login(&self, value: &SecretString) -> HeaderValue {
        self.set(self.login(), value.expose_secret(), "Lax", self.login_age)
    }

    /// Takes the login-state cookie back.
    pub(crate) fn clear_login(&self) -> HeaderValue {
        self.set(self.login(), "", "Lax", Duration::ZERO)
    }

    fn set(&self, name: &str, value: &str, same_site: &str, age: Duration) -> HeaderValue {
        let secure = if self.secure { "; Secure" } else { "" };
        let age = age.as_secs();
        let text = format!(
            "{name}={value}; Path=/; Max-Age={age}; HttpOnly; SameSite={same_site}{secure}"
        );
        let mut field = HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""));
        field.set_sensitive(true);
        field
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_have_their_attributes() {
        let (month, ten) = (Duration::from_hours(720), Duration::from_mins(10));
        let http = Cookies::new(false, month, ten);
        assert_eq!(
            http.set_session(&"v".to_owned().into()),
            "haetae=v; Path=/; Max-Age=2592000; HttpOnly; SameSite=Strict"
        );
        let https = Cookies::new(true, month, ten);
        assert_eq!(
            https.clear_session(),
            "__Host-Http-haetae=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict; Secure"
        );
        assert_eq!(
            https.set_login(&"v".to_owned().into()),
            "__Host-Http-haetae-login=v; Path=/; Max-Age=600; HttpOnly; SameSite=Lax; Secure"
        );
        assert!(Cookies::is_own("haetae") && Cookies::is_own("__Host-Http-haetae-login"));
        assert!(!Cookies::is_own("haetae-sso") && !Cookies::is_own("haetae-lang"));
    }
}
