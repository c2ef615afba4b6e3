//! Finding inventory items: word by word, each as the beginning of a word, on both databases alike. What
//! a word is, is decided here and not by either database: the column `terms` holds the words, SQLite
//! indexes it with FTS5, PostgreSQL as a `tsvector` with GIN.

use sea_orm::{DbBackend, Value};
use serde_json::Value as Json;

use super::{
    Store, StoreError,
    inventory::{Description, ITEM, InventoryItem, ItemRow},
};

/// Words to look for: at most [`Query::MAX_WORDS`], of letters and digits only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query(Vec<String>);

impl Query {
    /// More words than this find nothing that fewer do not.
    pub const MAX_WORDS: usize = 8;
    /// The longest word that is indexed, in characters.
    pub const MAX_WORD: usize = 40;

    /// The words of a text. `None` when there is none.
    pub fn parse(text: &str) -> Option<Self> {
        let mut found = Vec::new();
        add_words(text, &mut found);
        found.truncate(Self::MAX_WORDS);
        let mut words: Vec<String> = Vec::with_capacity(found.len());
        for word in found {
            // What another word begins with is found with that one.
            if words.iter().any(|longer| longer.starts_with(&word)) {
                continue;
            }
            words.retain(|shorter| !word.starts_with(shorter.as_str()));
            words.push(word);
        }
        if words.is_empty() { None } else { Some(Self(words)) }
    }

    /// Whether a word is looked for as the beginning of one. A single letter begins a great part of all
    /// words: beside others it stands for itself (`room 7`), or every one of them would be gathered.
    fn begins(&self, word: &str) -> bool {
        self.0.len() == 1 || word.len() > 1
    }

    /// `"jfk"* "lax"*`: every word, as a prefix. Words hold no quotes.
    fn fts5(&self) -> String {
        let word = |word: &String| {
            let star = if self.begins(word) { "*" } else { "" };
            format!("\"{word}\"{star}")
        };
        self.0.iter().map(word).collect::<Vec<_>>().join(" ")
    }

    /// `'jfk':* & 'lax':*`.
    fn tsquery(&self) -> String {
        let word = |word: &String| {
            let star = if self.begins(word) { ":*" } else { "" };
            format!("'{word}'{star}")
        };
        self.0.iter().map(word).collect::<Vec<_>>().join(" & ")
    }
}

/// The column `terms` of an item: each of its words once, in order.
pub fn terms(about: &Description) -> String {
    let mut found = Vec::with_capacity(16);
    let texts = [about.sku.as_deref(), Some(about.name.as_str()), about.description.as_deref()];
    for text in texts.into_iter().flatten() {
        add_words(text, &mut found);
    }
    for value in about.attributes.values() {
        match value {
            Json::String(text) => add_words(text, &mut found),
            Json::Number(number) => add_words(&number.to_string(), &mut found),
            Json::Null | Json::Bool(_) | Json::Array(_) | Json::Object(_) => {}
        }
    }
    found.sort_unstable();
    found.dedup();
    found.join(" ")
}

/// The words of a text: its runs of letters and digits, in lower case.
fn add_words(text: &str, found: &mut Vec<String>) {
    // Most words are plain ASCII: taken as they stand, an import of hundred thousands is quick.
    for run in text.split(|character: char| !character.is_alphanumeric()) {
        if run.is_empty() {
            continue;
        }
        if run.is_ascii() && run.len() <= Query::MAX_WORD {
            found.push(run.to_ascii_lowercase());
            continue;
        }
        // The lower case of a letter may have a mark beside it, which is no letter.
        let lower = run.to_lowercase();
        let letters = lower.chars().filter(|character| character.is_alphanumeric());
        let word: String = letters.take(Query::MAX_WORD).collect();
        if !word.is_empty() {
            found.push(word);
        }
    }
}

impl Store {
    /// At most `limit` items after the place `after` in the order of their coming, all of them or those
    /// that `query` finds.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list_items(
        &self,
        query: Option<&Query>,
        after: i64,
        limit: u32,
    ) -> Result<Vec<InventoryItem>, StoreError> {
        let page: [Value; 2] = [after.into(), i64::from(limit).into()];
        let rows: Vec<ItemRow> = match (query, self.backend()) {
            (None, _) => {
                let text = format!(
                    "SELECT {ITEM} FROM inventory v WHERE v.num > $1 ORDER BY v.num LIMIT $2"
                );
                self.all(&self.sql.read, text, page).await?
            }
            (Some(query), DbBackend::Sqlite) => {
                // FTS5 walks its index in the order of the row number and stops at the limit.
                let text = format!(
                    "SELECT {ITEM} FROM (SELECT s.rowid AS num FROM inventory_search s \
                     WHERE s.inventory_search MATCH $3 AND s.rowid > $1 ORDER BY s.rowid LIMIT $2) f \
                     CROSS JOIN inventory v WHERE v.num = f.num ORDER BY v.num"
                );
                let [after, limit] = page;
                self.all(&self.sql.read, text, [after, limit, query.fts5().into()]).await?
            }
            (Some(query), _) => {
                let text = format!(
                    "SELECT {ITEM} FROM inventory v WHERE v.search @@ $3::tsquery AND v.num > $1 \
                     ORDER BY v.num LIMIT $2"
                );
                let [after, limit] = page;
                self.all(&self.sql.read, text, [after, limit, query.tsquery().into()]).await?
            }
        };
        rows.into_iter().map(TryInto::try_into).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn words_are_letters_and_digits_in_any_script() {
        let query = Query::parse("UA1545  JFK→LAX '); DROP TABLE 서울역!").expect("words");
        assert_eq!(query.0, ["ua1545", "jfk", "lax", "drop", "table", "서울역"]);
        assert_eq!(
            query.tsquery(),
            "'ua1545':* & 'jfk':* & 'lax':* & 'drop':* & 'table':* & '서울역':*"
        );
        assert!(Query::parse(" \"*' --").is_none());
        let many = "w ".repeat(100);
        assert_eq!(Query::parse(&many).expect("words").0, ["w"]);
        let many: Vec<String> = (10..99).map(|number| number.to_string()).collect();
        assert_eq!(Query::parse(&many.join(" ")).expect("words").0.len(), Query::MAX_WORDS);
    }

    #[test]
    fn no_word_is_looked_for_twice_and_letters_beside_words_are_whole() {
        let query = |text: &str| Query::parse(text).expect("words");
        assert_eq!(query("ua u UA1545 jfk ua jfk").0, ["ua1545", "jfk"]);
        assert_eq!(query("r").fts5(), "\"r\"*");
        assert_eq!(query("Room 7").fts5(), "\"room\"* \"7\"");
        assert_eq!(query("1 2 3").tsquery(), "'1' & '2' & '3'");
        assert_eq!(query("서 역").tsquery(), "'서':* & '역':*", "a syllable is more than a letter");
    }

    #[test]
    fn terms_are_what_a_person_would_type() {
        let attributes = json!({"carrier": "UA", "distance": 1400, "days": [1, 2], "late": true});
        let about = Description {
            sku: Some("UA1545-2013-01-01".to_owned()),
            name: "UA 1545 EWR → IAH".to_owned(),
            description: None,
            price: None,
            starts_at: None,
            attributes: attributes.as_object().expect("an object").clone(),
        };
        assert_eq!(terms(&about), "01 1400 1545 2013 ewr iah ua ua1545");
    }
}
