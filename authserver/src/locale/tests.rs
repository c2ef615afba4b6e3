use std::collections::BTreeSet;

use super::*;

const KO: &str = include_str!("ko.ftl");
const EN: &str = include_str!("en.ftl");

/// Each message of a file: its key and the arguments that it uses.
fn messages(file: &str) -> BTreeSet<(String, BTreeSet<String>)> {
    let mut found: Vec<(String, BTreeSet<String>)> = Vec::new();
    for line in file.lines() {
        if let Some((key, _)) = line.split_once(" = ")
            && !line.starts_with([' ', '#'])
        {
            found.push((key.to_owned(), BTreeSet::new()));
        }
        if let Some((_, arguments)) = found.last_mut() {
            for rest in line.split('$').skip(1) {
                let name: String =
                    rest.chars().take_while(|c| c.is_alphanumeric() || *c == '-').collect();
                arguments.insert(name);
            }
        }
    }
    found.into_iter().collect()
}

#[test]
fn both_languages_have_the_same_texts_with_the_same_arguments() {
    let (korean, english) = (messages(KO), messages(EN));
    assert!(english.len() > 100);
    let only_one: Vec<_> = korean.symmetric_difference(&english).collect();
    assert!(only_one.is_empty(), "{only_one:#?}");
}

#[test]
fn every_text_is_found_in_its_own_language() {
    for (key, arguments) in messages(EN) {
        for language in Language::ALL {
            let values: Vec<(&'static str, Argument<'_>)> = arguments
                .iter()
                .map(|name| {
                    let name: &'static str = Box::leak(name.clone().into_boxed_str());
                    let number = name == "count" || name == "length";
                    (name, if number { Argument::Number(3) } else { Argument::Text("값") })
                })
                .collect();
            let text = language.text_with(&key, &values);
            assert!(
                !text.contains("Unknown localization") && !text.contains("{$"),
                "{key}: {text}"
            );
        }
        // A Korean text that is the English one was forgotten, but for what is the same in both.
        let same = ["redirect-uri", "other", "address"];
        if arguments.is_empty() && !same.iter().any(|part| key.contains(part)) {
            let (korean, english) = (Language::Korean.text(&key), Language::English.text(&key));
            assert_ne!(korean, english, "{key}");
        }
    }
}

/// The files of a folder and below.
fn files(folder: &str) -> Vec<(std::path::PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(text) = std::fs::read_to_string(&path) {
                found.push((path, text));
            }
        }
    }
    found
}

#[test]
fn every_text_that_a_template_names_exists() {
    let known: BTreeSet<String> = messages(EN).into_iter().map(|(key, _)| key).collect();
    let mut named = 0;
    for (path, source) in files("templates") {
        for call in source.split(".t(\"").skip(1) {
            let key: String = call.chars().take_while(|c| *c != '"').collect();
            assert!(known.contains(&key), "{}: {key}", path.display());
            named += 1;
        }
    }
    assert!(named > 50, "only {named}");
}

#[test]
fn no_text_is_left_over() {
    let mut sources = files("templates");
    sources.extend(files("src"));
    for (key, _) in messages(EN) {
        // Those are put together: one for each scope, and the two kinds of codes.
        if ["scope-", "mfa-", "recovery-"].iter().any(|start| key.starts_with(start)) {
            continue;
        }
        let quoted = format!("\"{key}\"");
        assert!(sources.iter().any(|(_, source)| source.contains(&quoted)), "{key}");
    }
}

#[test]
fn what_is_chosen_on_the_page_goes_before_everything() {
    let mut headers = HeaderMap::new();
    headers.insert(http::header::ACCEPT_LANGUAGE, "ko".parse().expect("a value"));
    let pick =
        |chosen, asked, remembered| Language::negotiate(chosen, asked, remembered, &headers).tag();
    assert_eq!(pick(None, None, None), "ko");
    assert_eq!(pick(None, None, Some("en")), "en");
    assert_eq!(pick(None, Some("fr ko-KR en"), Some("en")), "ko");
    assert_eq!(pick(Some("en"), Some("ko"), Some("ko")), "en");
    assert_eq!(pick(Some("xx"), Some("xx"), Some("xx")), "ko");
}

#[test]
fn days_and_waits_are_written_as_the_language_writes_them() {
    let day = Timestamp::parse_rfc3339("2026-11-20T04:05:06Z").expect("an instant");
    assert_eq!(Language::Korean.day(day), "2026년 11월 20일");
    assert_eq!(Language::English.moment(day), "20 Nov 2026 04:05 UTC");
    assert_eq!(Language::English.wait(1), "one second");
    assert_eq!(Language::English.wait(61), "61 seconds");
    assert_eq!(Language::English.wait(121), "3 minutes");
    assert_eq!(Language::Korean.wait(30), "30초");
}
