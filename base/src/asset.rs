//! Style sheets, scripts and pictures of the pages, compiled in, and the look that all pages share. A page names a
//! file with the hash of its content, so that a browser keeps it for ever and still sees each change at once.

use http::{HeaderMap, HeaderValue, Response, StatusCode, header};

use crate::secret::SecretHash;

/// The look of the house: what every service serves beside its own files.
const HOUSE: [(&str, &str); 4] = [
    ("house.css", include_str!("../look/house.css")),
    ("house.js", include_str!("../look/house.js")),
    ("mark.svg", include_str!("../look/mark.svg")),
    ("roofs.svg", include_str!("../look/roofs.svg")),
];

/// The files of one service, under one folder of addresses.
#[derive(Debug)]
pub struct Assets {
    folder: &'static str,
    files: Vec<Asset>,
}

#[derive(Debug)]
struct Asset {
    name: &'static str,
    content: &'static str,
    /// The first characters of the content's hash.
    version: String,
}

impl Assets {
    /// The look of the house and `files` (name and content) under `folder`, such as `/static`.
    pub fn new(folder: &'static str, files: &[(&'static str, &'static str)]) -> Self {
        let files = HOUSE
            .iter()
            .chain(files)
            .map(|&(name, content)| {
                let version = SecretHash::of(content).to_base64url().chars().take(12).collect();
                Asset { name, content, version }
            })
            .collect();
        Self { folder, files }
    }

    /// Where a page finds the file `name`.
    pub fn path(&self, name: &str) -> String {
        let version = self.find(name).map_or("", |asset| asset.version.as_str());
        format!("{}/{name}?v={version}", self.folder)
    }

    /// The answer to a request for the file `name` with this query; `None` when there is no such file.
    pub fn answer(
        &self,
        name: &str,
        query: Option<&str>,
        headers: &HeaderMap,
    ) -> Option<Response<&'static str>> {
        let asset = self.find(name)?;
        let tag = format!("\"{}\"", asset.version);
        let known = headers.get(header::IF_NONE_MATCH).is_some_and(|known| known == tag.as_str());
        let mut answer = Response::new(if known { "" } else { asset.content });
        if known {
            *answer.status_mut() = StatusCode::NOT_MODIFIED;
        }
        // Only the version that was asked for may be kept for ever: while two releases run side by side, the
        // other one may be asked.
        let asked = query.and_then(|query| query.strip_prefix("v="));
        let cache = if asked == Some(asset.version.as_str()) {
            "public, max-age=31536000, immutable"
        } else {
            "public, max-age=300"
        };
        let fields = answer.headers_mut();
        fields.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
        fields.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if let Ok(tag) = HeaderValue::try_from(tag) {
            fields.insert(header::ETAG, tag);
        }
        fields.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type(name)));
        // An SVG that is opened by itself must not run anything either.
        let policy = HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'");
        fields.insert(header::CONTENT_SECURITY_POLICY, policy);
        Some(answer)
    }

    fn find(&self, name: &str) -> Option<&Asset> {
        self.files.iter().find(|asset| asset.name == name)
    }
}

fn media_type(name: &str) -> &'static str {
    match name.rsplit_once('.') {
        Some((_, "css")) => "text/css; charset=utf-8",
        Some((_, "js")) => "text/javascript; charset=utf-8",
        Some((_, "svg")) => "image/svg+xml",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assets() -> Assets {
        Assets::new("/static", &[("own.js", "1;")])
    }

    fn fetch(query: Option<&str>, known: Option<&str>) -> Response<&'static str> {
        let mut headers = HeaderMap::new();
        if let Some(known) = known {
            headers.insert(header::IF_NONE_MATCH, known.parse().expect("a value"));
        }
        assets().answer("own.js", query, &headers).expect("it is there")
    }

    #[test]
    fn only_the_named_version_is_kept_for_ever() {
        let path = assets().path("own.js");
        let (address, query) = path.split_once('?').expect("a version");
        assert_eq!(address, "/static/own.js");
        let exact = fetch(Some(query), None);
        assert_eq!(exact.body(), &"1;");
        assert!(
            exact.headers()[header::CACHE_CONTROL].to_str().expect("text").contains("immutable")
        );
        assert_eq!(exact.headers()[header::CONTENT_TYPE], "text/javascript; charset=utf-8");
        let other = fetch(Some("v=old"), None);
        assert_eq!(other.headers()[header::CACHE_CONTROL], "public, max-age=300");
        let tag = other.headers()[header::ETAG].to_str().expect("text").to_owned();
        assert_eq!(fetch(None, Some(&tag)).status(), StatusCode::NOT_MODIFIED);
        assert_eq!(fetch(None, Some("\"old\"")).status(), StatusCode::OK);
    }

    #[test]
    fn nothing_else_is_served() {
        for name in ["", "..", "../Cargo.toml", "own.js/x", "OWN.JS"] {
            assert!(assets().answer(name, None, &HeaderMap::new()).is_none(), "{name}");
        }
    }

    #[test]
    fn the_look_loads_nothing_from_elsewhere() {
        for (name, content) in HOUSE {
            let content = content.replace("http://www.w3.org/2000/svg", "");
            assert!(!content.contains("http:") && !content.contains("https:"), "{name}");
        }
    }
}
