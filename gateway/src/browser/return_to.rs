//! Where a browser may be sent after a login: a path of this very site and nothing else, or the login would
//! be an open redirector.

use std::borrow::Cow;

/// The path of `wanted`, or `/` when it is not one that a browser would take for this site's.
pub(super) fn check(wanted: Option<Cow<'_, str>>) -> String {
    wanted.filter(|path| is_local(path)).map_or_else(|| "/".to_owned(), Cow::into_owned)
}

fn is_local(path: &str) -> bool {
    // Browsers take `\` for `/`, and `//` begins a host.
    let rooted = path.starts_with('/') && !path.starts_with("//");
    // Sent back into the login it would go round in circles.
    let elsewhere = !path.starts_with("/session/");
    rooted
        && elsewhere
        && path.len() <= 2048
        && path
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'\\' | b'"' | b'<' | b'>'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn checked(path: &str) -> String {
        check(Some(Cow::Borrowed(path)))
    }

    #[test]
    fn takes_local_paths_only() {
        for path in ["/", "/reservations/rsv_1?x=y#z", "/a%20b", "/session"] {
            assert_eq!(checked(path), path);
        }
        for path in [
            "",
            "reservations",
            "//evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "https://evil.example",
            "/a\nb",
            "/a b",
            "/\t/evil.example",
            "/session/login",
            "/session/logout",
            "/예약",
            "javascript:alert(1)",
            "/\"><script>",
        ] {
            assert_eq!(checked(path), "/", "{path:?}");
        }
        assert_eq!(check(None), "/");
        assert_eq!(checked(&format!("/{}", "a".repeat(2048))), "/");
    }

    proptest! {
        #[test]
        fn a_browser_stays_on_this_site(path in "[/\\\\a-z:@.\t\n ]{0,12}") {
            let base = url::Url::parse("http://localhost:8080/").expect("url");
            let target = base.join(&checked(&path)).expect("joins");
            prop_assert_eq!(target.origin(), base.origin());
        }
    }
}
