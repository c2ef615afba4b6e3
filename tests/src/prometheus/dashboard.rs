//! A Grafana dashboard.

use serde_json::Value;

/// One dashboard.
#[derive(Debug)]
pub struct Dashboard {
    /// Its file.
    pub file: String,
    /// The text of the file.
    pub text: String,
    /// The same, read.
    pub json: Value,
}

/// One panel, of whatever row.
#[derive(Debug)]
pub struct Panel<'a> {
    /// Its title.
    pub title: &'a str,
    /// All of it.
    pub json: &'a Value,
}

impl<'a> Panel<'a> {
    fn of(json: &'a Value) -> Self {
        Self { title: json["title"].as_str().unwrap_or("?"), json }
    }
}

impl Dashboard {
    /// Those under `deploy/grafana`.
    pub fn all() -> Vec<Self> {
        let folder = crate::binary::source_root().join("deploy/grafana");
        let entries = std::fs::read_dir(folder).expect("the folder of dashboards");
        let paths = entries.map(|entry| entry.expect("an entry").path());
        let mut found: Vec<Self> = paths
            .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
            .map(|path| {
                let text = std::fs::read_to_string(&path).expect("a file");
                let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                let json = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{file}: {e}"));
                Self { file, text, json }
            })
            .collect();
        found.sort_by(|left, right| left.file.cmp(&right.file));
        found
    }

    /// Its panels and rows.
    pub fn panels(&self) -> Vec<Panel<'_>> {
        let top = self.json["panels"].as_array().expect("panels");
        let folded = top.iter().flat_map(|row| row["panels"].as_array().into_iter().flatten());
        top.iter().chain(folded).map(Panel::of).collect()
    }

    /// Every expression, with where it stands, as Prometheus would be asked when everything is chosen.
    pub fn expressions(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        for panel in self.panels() {
            for target in panel.json["targets"].as_array().into_iter().flatten() {
                let place = format!("{}: {}", self.file, panel.title);
                found.push((place, target["expr"].as_str().expect("an expression")));
            }
        }
        for annotation in self.json["annotations"]["list"].as_array().into_iter().flatten() {
            if let Some(expression) = annotation["expr"].as_str() {
                found.push((format!("{}: an annotation", self.file), expression));
            }
        }
        found.into_iter().map(|(place, expression)| (place, chosen(expression))).collect()
    }

    /// What its variables ask for: the selector, and the label whose values are listed.
    pub fn variables(&self) -> Vec<(String, String)> {
        let all = self.json["templating"]["list"].as_array().expect("variables");
        let queries = all.iter().filter(|variable| variable["type"] == "query");
        queries
            .map(|variable| {
                let asked = variable["definition"].as_str().expect("a definition");
                assert_eq!(variable["definition"], variable["query"]["query"], "{asked}");
                let inside =
                    asked.strip_prefix("label_values(").and_then(|it| it.strip_suffix(')'));
                let (selector, label) = inside
                    .and_then(|it| it.rsplit_once(", "))
                    .expect("label_values(selector, label)");
                (chosen(selector), label.to_owned())
            })
            .collect()
    }
}

fn chosen(expression: &str) -> String {
    expression
        .replace("$__rate_interval", "5m")
        .replace("$__range", "1h")
        .replace("$namespace", ".*")
        .replace("$job", ".+")
        .replace("$instance", ".+")
}
