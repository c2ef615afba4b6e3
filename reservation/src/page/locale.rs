//! The languages of the page and their texts. `ko.ftl` and `en.ftl` hold the same keys.

use std::{borrow::Cow, collections::HashMap};

use fluent_templates::{LanguageIdentifier, Loader, fluent_bundle::FluentValue, langid};
use haetae_base::{clock::Timestamp, language};
use http::HeaderMap;
use time::OffsetDateTime;

fluent_templates::static_loader! {
    static TEXTS = {
        locales: "./src/page/locale",
        fallback_language: "en",
        // The marks that isolate the direction of an argument would show up in copied text, and neither
        // language is written from right to left.
        customise: |bundle| bundle.set_use_isolating(false),
    };
}

static KOREAN: LanguageIdentifier = langid!("ko");
static ENGLISH: LanguageIdentifier = langid!("en");

/// The tags of the languages that there are.
const TAGS: [&str; 2] = [Language::Korean.tag(), Language::English.tag()];

/// A language that the page is written in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Language {
    /// 한국어.
    Korean,
    /// English.
    #[default]
    English,
}

impl Language {
    /// The BCP 47 tag.
    pub(super) const fn tag(self) -> &'static str {
        match self {
            Self::Korean => "ko",
            Self::English => "en",
        }
    }

    /// The language that the switch on the page leads to.
    pub(super) const fn other(self) -> Self {
        match self {
            Self::Korean => Self::English,
            Self::English => Self::Korean,
        }
    }

    /// The language of a BCP 47 tag (`ko-KR`, `en`), if it is one of ours.
    pub(super) fn of_tag(tag: &str) -> Option<Self> {
        Self::tagged(language::of_tag(tag, &TAGS)?)
    }

    fn tagged(tag: &str) -> Option<Self> {
        [Self::Korean, Self::English].into_iter().find(|language| language.tag() == tag)
    }

    /// The language of a page: what was chosen on it goes before what the cookie remembers, and that
    /// before what the browser prefers.
    pub(super) fn negotiate(
        chosen: Option<&str>,
        remembered: Option<&str>,
        headers: &HeaderMap,
    ) -> Self {
        chosen
            .and_then(Self::of_tag)
            .or_else(|| remembered.and_then(Self::of_tag))
            .or_else(|| Self::tagged(language::preferred(headers, &TAGS)?))
            .unwrap_or_default()
    }

    /// The text of `key`.
    pub(super) fn text(self, key: &str) -> String {
        TEXTS.lookup(self.identifier(), key)
    }

    /// The text of `key` with its arguments.
    pub(super) fn text_with(self, key: &str, arguments: &[(&'static str, Argument<'_>)]) -> String {
        let arguments: HashMap<Cow<'static, str>, FluentValue<'_>> = arguments
            .iter()
            .map(|(name, value)| (Cow::Borrowed(*name), value.to_fluent()))
            .collect();
        TEXTS.lookup_with_args(self.identifier(), key, &arguments)
    }

    /// Why a payment was refused. The provider says it in English; what is known is said in the language.
    pub(super) fn refusal(self, reason: &str) -> String {
        let key = format!("refused-{}", reason.to_ascii_lowercase().replace(' ', "-"));
        TEXTS.try_lookup(self.identifier(), &key).unwrap_or_else(|| reason.to_owned())
    }

    /// An instant as the language writes it. In UTC: the page does not know where the person is; the
    /// script, where there is one, does.
    pub(super) fn moment(self, at: Timestamp) -> String {
        const MONTHS: [&str; 12] =
            ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
        let Ok(time) = OffsetDateTime::from_unix_timestamp(at.as_seconds()) else {
            return String::new();
        };
        let (year, month, day) = (time.year(), u8::from(time.month()), time.day());
        let (hour, minute) = (time.hour(), time.minute());
        match self {
            Self::Korean => format!("{year}년 {month}월 {day}일 {hour:02}:{minute:02} UTC"),
            Self::English => {
                let name = MONTHS.get(usize::from(month) - 1).copied().unwrap_or_default();
                format!("{day} {name} {year}, {hour:02}:{minute:02} UTC")
            }
        }
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
pub(super) enum Argument<'a> {
    /// A text, shown as it is.
    Text(&'a str),
    /// A number, which the text may also depend on (one, many).
    Number(u32),
}

impl Argument<'_> {
    fn to_fluent(self) -> FluentValue<'static> {
        match self {
            Self::Text(text) => FluentValue::String(Cow::Owned(text.to_owned())),
            Self::Number(number) => FluentValue::from(number),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use http::header;

    use super::*;

    fn keys(texts: &str) -> BTreeSet<&str> {
        texts
            .lines()
            .filter(|line| !line.starts_with([' ', '#', '}']))
            .filter_map(|line| line.split_once(" ="))
            .map(|(key, _)| key)
            .collect()
    }

    #[test]
    fn both_languages_say_everything() {
        let (korean, english) =
            (keys(include_str!("locale/ko.ftl")), keys(include_str!("locale/en.ftl")));
        assert_eq!(korean, english);
        assert_eq!(Language::Korean.text("menu-sign-in"), "로그인");
        let count = [("count", Argument::Number(3))];
        assert_eq!(Language::Korean.text_with("left", &count), "3개 남음");
    }

    #[test]
    fn a_refusal_is_said_in_the_language_where_it_is_known() {
        assert_eq!(Language::Korean.refusal("card declined"), "카드사에서 승인하지 않았습니다");
        assert_eq!(Language::English.refusal("card declined"), "card declined");
        assert_eq!(Language::Korean.refusal("Do not honor"), "Do not honor");
        // Whatever the simulator says is known.
        let simulator = include_str!("../payment/simulator.rs");
        for reason in ["card declined", "unknown card", "the card was blocked meanwhile"] {
            assert!(simulator.contains(&format!("\"{reason}\"")), "{reason}");
            assert_ne!(Language::Korean.refusal(reason), reason);
        }
    }

    #[test]
    fn a_moment_says_its_time_zone() {
        let at = Timestamp::from_millis(1_795_777_200_000);
        assert_eq!(Language::English.moment(at), "27 Nov 2026, 11:00 UTC");
        assert_eq!(Language::Korean.moment(at), "2026년 11월 27일 11:00 UTC");
    }

    #[test]
    fn every_text_that_a_template_asks_for_is_there() {
        let english = keys(include_str!("locale/en.ftl"));
        for template in [
            include_str!("../../templates/base.html"),
            include_str!("../../templates/find.html"),
            include_str!("../../templates/item.html"),
            include_str!("../../templates/reservations.html"),
            include_str!("../../templates/reservation.html"),
            include_str!("../../templates/message.html"),
        ] {
            for call in [".t(\"", ".with(\"", ".count(\""] {
                for (place, _) in template.match_indices(call) {
                    let rest = &template[place + call.len()..];
                    let key = rest.split('"').next().expect("a closing quote");
                    assert!(english.contains(key), "{key}");
                }
            }
        }
        for state in crate::domain::payment::PaymentState::ALL {
            assert!(english.contains(format!("payment-{}", state.as_str()).as_str()));
        }
        for status in crate::domain::reservation::Status::ALL {
            for prefix in ["status", "about"] {
                let key = format!("{prefix}-{}", status.as_str());
                assert!(english.contains(key.as_str()), "{key}");
            }
        }
    }

    #[test]
    fn the_language_is_the_one_that_was_asked_for() {
        let headers = HeaderMap::from_iter([(
            header::ACCEPT_LANGUAGE,
            "fr, en;q=0.5, ko-KR;q=0.9".parse().expect("a value"),
        )]);
        assert_eq!(Language::negotiate(None, None, &headers), Language::Korean);
        assert_eq!(Language::negotiate(None, Some("en"), &headers), Language::English);
        assert_eq!(Language::negotiate(Some("ko"), Some("en"), &headers), Language::Korean);
        assert_eq!(Language::negotiate(Some("xx"), None, &HeaderMap::new()), Language::English);
    }
}
