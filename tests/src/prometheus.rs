//! What Prometheus and Grafana are given, as they read it: the metrics of a role, `PromQL` expressions, the rules and
//! the dashboards under `deploy/`, and `promtool`.

mod dashboard;
mod promtool;
mod rules;
mod selector;
mod series;

pub use self::{
    dashboard::{Dashboard, Panel},
    promtool::Promtool,
    rules::{Rule, RuleFile},
    selector::{Matcher, Selector, grouping_labels, selectors},
    series::Known,
};
