//! Many rows as one parameter: a JSON array that either database turns into a table. The text of a
//! statement does not depend on how many rows there are, so it is prepared once and then only executed.

use std::fmt::Write;

use sea_orm::DbBackend;

/// The type of a column, as both databases have it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// Text.
    Text,
    /// A whole number of 64 bits.
    Number,
}

/// A column of such a table: its name, which is the JSON member's too, and its type.
pub(crate) type Column = (&'static str, Kind);

pub(super) fn table(
    backend: DbBackend,
    parameter: usize,
    alias: &str,
    columns: &[Column],
) -> String {
    let mut text = String::new();
    let sqlite = backend == DbBackend::Sqlite;
    text.push_str(if sqlite { "(SELECT " } else { "json_to_recordset($" });
    if !sqlite {
        let _infallible = write!(text, "{parameter}::json) AS {alias}(");
    }
    for (index, (name, kind)) in columns.iter().enumerate() {
        let comma = if index == 0 { "" } else { ", " };
        let _infallible = match (sqlite, kind) {
            (true, _) => write!(text, "{comma}line.value->>'{name}' AS {name}"),
            (false, Kind::Text) => write!(text, "{comma}{name} text"),
            (false, Kind::Number) => write!(text, "{comma}{name} bigint"),
        };
    }
    let _infallible = if sqlite {
        write!(text, " FROM json_each(${parameter}) AS line) AS {alias}")
    } else {
        write!(text, ")")
    };
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speaks_both_dialects() {
        let columns = [("id", Kind::Text), ("units", Kind::Number)];
        assert_eq!(
            table(DbBackend::Sqlite, 2, "r", &columns),
            "(SELECT line.value->>'id' AS id, line.value->>'units' AS units FROM json_each($2) AS line) AS r"
        );
        assert_eq!(
            table(DbBackend::Postgres, 2, "r", &columns),
            "json_to_recordset($2::json) AS r(id text, units bigint)"
        );
    }
}
