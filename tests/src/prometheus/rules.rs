//! A file of rules, read by its indentation: `promtool` says whether it is one, this takes it apart.

use std::fmt::Write;

/// `deploy/prometheus/rules.yaml`, taken apart.
#[derive(Debug)]
pub struct RuleFile {
    lines: Vec<String>,
    /// Its rules, in order.
    pub rules: Vec<Rule>,
}

/// One rule.
#[derive(Debug)]
pub struct Rule {
    /// The name of the alert, or of the metric that is recorded.
    pub name: String,
    /// Whether it is an alert.
    pub is_alert: bool,
    /// Its expression.
    pub expression: String,
    /// The lines below its name, as they stand there.
    pub text: String,
    /// Which lines of the file the expression is.
    at: std::ops::Range<usize>,
}

impl RuleFile {
    /// Reads it.
    pub fn read(text: &str) -> Self {
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let mut rules: Vec<Rule> = Vec::new();
        let mut in_expression = false;
        for (number, line) in lines.iter().enumerate() {
            let started = [("- alert: ", true), ("- record: ", false)];
            let started = started.iter().find_map(|(mark, is_alert)| {
                line.trim_start().strip_prefix(mark).map(|name| (name, *is_alert))
            });
            if let Some((name, is_alert)) = started {
                in_expression = false;
                rules.push(Rule {
                    name: name.to_owned(),
                    is_alert,
                    expression: String::new(),
                    text: String::new(),
                    at: 0..0,
                });
                continue;
            }
            if line.trim_start().starts_with("- name: ") {
                in_expression = false;
                continue;
            }
            let Some(rule) = rules.last_mut() else { continue };
            let _infallible = writeln!(rule.text, "{line}");
            if let Some(expression) = line.strip_prefix("        expr: ") {
                in_expression = true;
                rule.at = number..number + 1;
                rule.expression.push_str(expression.trim_start_matches('|'));
            } else if in_expression && line.starts_with("          ") {
                rule.at.end = number + 1;
                rule.expression.push('\n');
                rule.expression.push_str(line.trim());
            } else {
                in_expression = false;
            }
        }
        Self { lines, rules }
    }

    /// The alerts.
    pub fn alerts(&self) -> impl Iterator<Item = &Rule> {
        self.rules.iter().filter(|rule| rule.is_alert)
    }

    /// The file with `expression` in place of that of every alert.
    pub fn with_every_alert(&self, expression: &str) -> String {
        let mut text = String::new();
        for (number, line) in self.lines.iter().enumerate() {
            let alert = self.alerts().find(|rule| rule.at.contains(&number));
            let _infallible = match alert {
                Some(rule) if rule.at.start == number => {
                    writeln!(text, "        expr: {expression}")
                }
                Some(_) => Ok(()),
                None => writeln!(text, "{line}"),
            };
        }
        text
    }
}

impl Rule {
    /// What stands behind `key:`, with the lines that continue it.
    pub fn value(&self, key: &str) -> Option<String> {
        let mut lines = self.text.lines();
        let found =
            lines.by_ref().find(|line| line.trim_start().starts_with(&format!("{key}: ")))?;
        let depth = found.len() - found.trim_start().len();
        let first = found.trim_start()[key.len() + 2..].trim_start_matches(">-");
        let more = lines.take_while(|line| line.len() - line.trim_start().len() > depth);
        let words: Vec<&str> = std::iter::once(first).chain(more).map(str::trim).collect();
        Some(words.join(" ").trim().trim_matches('\'').to_owned())
    }
}
