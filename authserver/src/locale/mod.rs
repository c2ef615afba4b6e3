//! The languages of the pages and their texts. `ko.ftl` and `en.ftl` hold the same keys.

use std::{borrow::Cow, collections::HashMap};

use fluent_templates::{LanguageIdentifier, Loader, fluent_bundle::FluentValue, langid};
use haetae_base::{clock::Timestamp, language};
use http::HeaderMap;
use time::OffsetDateTime;

fluent_templates::static_loader! {
    static TEXTS = {
        locales: "./src/locale",
        fallback_language: "en",
        // The marks that isolate the direction of an argument would show up in copied text, and neither
        // language is written from right to left.
        customise: |bundle| bundle.set_use_isolating(false),
    };
}

static KOREAN: LanguageIdentifier = langid!("ko");
static ENGLISH: LanguageIdentifier = langid!("en");

/// The tags of [`Language::ALL`].
const TAGS: [&str; 2] = [Language::Korean.tag(), Language::English.tag()];

/// A language that the pages are written in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Language {
    /// 한국어.
    Korean,
    /// English.
    #[default]
    English,
}

impl Language {
    /// Both languages.
    pub(crate) const ALL: [Self; 2] = [Self::Korean, Self::English];

    /// The BCP 47 tag: `ko` or `en`.
    pub(crate) const fn tag(self) -> &'static str {
        match self {
            Self::Korean => "ko",
            Self::English => "en",
        }
    }

    /// The language that the switch on the page leads to.
    #[must_use]
    pub(crate) const fn other(self) -> Self {
        match self {
            Self::Korean => Self::English,
            Self::English => Self::Korean,
        }
    }

    /// The language of a BCP 47 tag (`ko-KR`, `en`), if it is one of ours.
    pub(crate) fn of_tag(tag: &str) -> Option<Self> {
        Self::tagged(language::of_tag(tag, &TAGS)?)
    }

    fn tagged(tag: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|language| language.tag() == tag)
    }

    /// The language of a page. What the person chose on this page (`chosen`) goes before what the
    /// application asked for (`ui_locales`, OIDC Core 3.1.2.1), that before the choice that a cookie
    /// remembers, and that before what the browser prefers (`Accept-Language`).
    pub(crate) fn negotiate(
        chosen: Option<&str>,
        ui_locales: Option<&str>,
        remembered: Option<&str>,
        headers: &HeaderMap,
    ) -> Self {
        chosen
            .and_then(Self::of_tag)
            .or_else(|| ui_locales?.split_ascii_whitespace().find_map(Self::of_tag))
            .or_else(|| remembered.and_then(Self::of_tag))
            .or_else(|| Self::tagged(language::preferred(headers, &TAGS)?))
            .unwrap_or_default()
    }

    /// The text of `key`.
    pub(crate) fn text(self, key: &str) -> String {
        TEXTS.lookup(self.identifier(), key)
    }

    /// The text of `key` with its arguments.
    pub(crate) fn text_with(self, key: &str, arguments: &[(&'static str, Argument<'_>)]) -> String {
        let arguments: HashMap<Cow<'static, str>, FluentValue<'_>> = arguments
            .iter()
            .map(|(name, value)| (Cow::Borrowed(*name), value.to_fluent()))
            .collect();
        TEXTS.lookup_with_args(self.identifier(), key, &arguments)
    }

    /// The text of `key`, if there is one.
    pub(crate) fn find_text(self, key: &str) -> Option<String> {
        TEXTS.try_lookup(self.identifier(), key)
    }

    /// A day as the language writes it. In UTC: the pages do not know where the person is.
    pub(crate) fn day(self, at: Timestamp) -> String {
        const MONTHS: [&str; 12] =
            ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
        let Ok(day) = OffsetDateTime::from_unix_timestamp(at.as_seconds()) else {
            return String::new();
        };
        let month = u8::from(day.month());
        match self {
            Self::Korean => format!("{}년 {month}월 {}일", day.year(), day.day()),
            Self::English => {
                let name = MONTHS.get(usize::from(month) - 1).copied().unwrap_or_default();
                format!("{} {name} {}", day.day(), day.year())
            }
        }
    }

    /// A day with the time of day, in UTC.
    pub(crate) fn moment(self, at: Timestamp) -> String {
        let Ok(time) = OffsetDateTime::from_unix_timestamp(at.as_seconds()) else {
            return String::new();
        };
        format!("{} {:02}:{:02} UTC", self.day(at), time.hour(), time.minute())
    }

    /// How long to wait: seconds up to ninety, then minutes, rounded up.
    pub(crate) fn wait(self, seconds: u64) -> String {
        let (key, count) = if seconds <= 90 {
            ("wait-seconds", seconds.max(1))
        } else {
            ("wait-minutes", seconds.div_ceil(60))
        };
        self.text_with(key, &[("count", Argument::Number(count))])
    }

    fn identifier(self) -> &'static LanguageIdentifier {
        match self {
            Self::Korean => &KOREAN,
            Self::English => &ENGLISH,
        }
    }
}

/// A value in a text.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Argument<'a> {
    /// A text, shown as it is.
    Text(&'a str),
    /// A number, which the text may also depend on (one, many).
    Number(u64),
}

impl<'a> Argument<'a> {
    fn to_fluent(self) -> FluentValue<'a> {
        match self {
            Self::Text(text) => text.into(),
            Self::Number(number) => number.into(),
        }
    }
}

#[cfg(test)]
mod tests;
