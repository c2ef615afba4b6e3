//! The cookies of the authserver. Over https their names begin with `__Host-Http-`, so that neither a
//! sibling host nor a script can have set them; over plain http on localhost browsers refuse such names.

use axum_extra::extract::{
    CookieJar,
    cookie::{Cookie, SameSite},
};
use haetae_base::secret::SecretHash;
use secrecy::{ExposeSecret, SecretString};

/// A cookie of the authserver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    /// The single-sign-on session. Lax, because people come to the authorization endpoint from other
    /// sites; every form has its own protection against forgery.
    Sso,
    /// Binds pending requests and half-done sign-ins to one browser.
    Flow,
}

/// How the cookies of this installation are written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cookies {
    https: bool,
}

impl Cookies {
    pub(crate) const fn new(https: bool) -> Self {
        Self { https }
    }

    /// The value of a cookie that the browser sent.
    pub(crate) fn read(self, jar: &CookieJar, name: Name) -> Option<&str> {
        jar.get(self.name(name)).map(Cookie::value).filter(|value| !value.is_empty())
    }

    /// Sets a cookie until the browser is closed. What it stands for ends on the server's side.
    pub(crate) fn write(self, jar: CookieJar, name: Name, value: &SecretString) -> CookieJar {
        jar.add(self.cookie(name, value.expose_secret().to_owned()))
    }

    /// Takes a cookie away.
    pub(crate) fn remove(self, jar: CookieJar, name: Name) -> CookieJar {
        // A removal has to name the same attributes, or a `__Host-` cookie stays.
        jar.remove(self.cookie(name, String::new()))
    }

    /// The hash of this browser's flow cookie, if it has one: what pending things are bound to.
    pub(crate) fn browser(self, jar: &CookieJar) -> Option<SecretHash> {
        self.read(jar, Name::Flow).map(SecretHash::of)
    }

    /// The same, after giving the browser a flow cookie when it has none.
    pub(crate) fn ensure_browser(self, jar: CookieJar) -> (CookieJar, SecretHash) {
        if let Some(browser) = self.browser(&jar) {
            return (jar, browser);
        }
        let value = haetae_base::entropy::token();
        let browser = SecretHash::of(value.expose_secret());
        (self.write(jar, Name::Flow, &value), browser)
    }

    const fn name(self, name: Name) -> &'static str {
        match (name, self.https) {
            (Name::Sso, true) => "__Host-Http-haetae-sso",
            (Name::Sso, false) => "haetae-sso",
            (Name::Flow, true) => "__Host-Http-haetae-flow",
            (Name::Flow, false) => "haetae-flow",
        }
    }

    fn cookie(self, name: Name, value: String) -> Cookie<'static> {
        Cookie::build((self.name(name), value))
            .path("/")
            .http_only(true)
            .secure(self.https)
            .same_site(SameSite::Lax)
            .build()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn over_https_a_cookie_is_host_only_secure_and_unreadable_for_scripts() {
        let jar = Cookies::new(true).write(CookieJar::new(), Name::Sso, &"x".to_owned().into());
        let cookie = jar.get("__Host-Http-haetae-sso").expect("the cookie").to_string();
        assert_eq!(cookie, "__Host-Http-haetae-sso=x; HttpOnly; SameSite=Lax; Secure; Path=/");
        let jar = Cookies::new(false).write(CookieJar::new(), Name::Sso, &"x".to_owned().into());
        assert!(!jar.get("haetae-sso").expect("the cookie").to_string().contains("Secure"));
    }

    #[test]
    fn a_browser_keeps_its_flow_cookie() {
        let cookies = Cookies::new(false);
        let (jar, first) = cookies.ensure_browser(CookieJar::new());
        let (jar, second) = cookies.ensure_browser(jar);
        assert!(first == second && cookies.browser(&jar) == Some(first));
    }
}
