//! What operators are given to watch Haetae with (`deploy/prometheus`, `deploy/grafana`, docs/operations.md): that the
//! rules do what their tests say, that the dashboards are whole, and that every metric and label that any of them
//! names is there.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use haetae_tests::{
    agent::{Agent, http},
    api::{self, Api},
    binary,
    oidc::{Client, SCOPE},
    prometheus::{Dashboard, Known, Promtool, RuleFile, Selector, grouping_labels, selectors},
    shop,
    stack::{Options, Role, Stack, send_signal},
    wait,
};
use serde_json::{Value, json};

const RULES: &str = "deploy/prometheus/rules.yaml";
const RULES_TEST: &str = "deploy/prometheus/rules_test.yaml";
const OPERATIONS: &str = "docs/operations.md";

fn source(path: &str) -> String {
    std::fs::read_to_string(binary::source_root().join(path)).expect(path)
}

fn rules() -> RuleFile {
    RuleFile::read(&source(RULES))
}

#[test]
fn rules_do_what_their_tests_say() {
    Promtool::run(&["check", "rules", "rules.yaml"]).ok();
    Promtool::run(&["check", "config", "prometheus.yaml"]).ok();
    Promtool::run(&["test", "rules", "rules_test.yaml"]).ok();
}

/// Alerts that never fire and alerts that always do are both found out: so each of them has a case in which it fires
/// and one in which it does not.
#[test]
fn every_alert_is_tested_both_ways() {
    let rules = rules();
    for (instead, which) in [("vector(1) < 0", "fires"), ("vector(1)", "does not fire")] {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("rules.yaml"), rules.with_every_alert(instead)).unwrap();
        std::fs::write(folder.path().join("rules_test.yaml"), source(RULES_TEST)).unwrap();
        Promtool::run_in(folder.path(), &["check", "rules", "rules.yaml"]).ok();
        let run = Promtool::run_in(folder.path(), &["test", "rules", "rules_test.yaml"]);
        assert!(!run.success, "{}", run.output);
        let found: Vec<&str> = run.output.lines().filter(|line| line.contains("expr: ")).collect();
        for alert in rules.alerts() {
            let name = format!("\\\"{}\\\"", alert.name);
            let tested = found.iter().any(|line| line.contains(&name));
            assert!(tested, "{RULES_TEST} has no case in which {} {which}", alert.name);
        }
    }
}

#[test]
fn alerts_say_what_to_do() {
    let rules = rules();
    let (tests, operations) = (source(RULES_TEST), source(OPERATIONS));
    assert!(rules.alerts().count() > 20, "{:?}", rules.rules);
    let sections: BTreeSet<String> = operations
        .lines()
        .filter_map(|line| line.strip_prefix("## "))
        .map(|title| title.to_lowercase().replace(',', "").replace(' ', "-"))
        .collect();
    for alert in rules.alerts() {
        let name = &alert.name;
        let value = |key: &str| alert.value(key).unwrap_or_else(|| panic!("{name} has no {key}"));
        assert!(["critical", "warning"].contains(&value("severity").as_str()), "{name}");
        assert!(value("summary").len() > 15 && value("description").len() > 40, "{name}");
        let runbook = value("runbook");
        let section =
            runbook.strip_prefix("docs/operations.md#").unwrap_or_else(|| panic!("{name}"));
        assert!(sections.contains(section), "{name}: {runbook} is not there");
        assert!(operations.contains(&format!("`{name}`")), "{OPERATIONS} does not tell {name}");
        // An annotation may use the labels that the alert has when it fires, and no others.
        let fires = format!("ALERTS{{alertname=\"{name}\",alertstate=\"firing\",");
        let fires: Vec<&str> = tests.lines().filter(|line| line.contains(&fires)).collect();
        for used in alert.text.split("$labels.").skip(1) {
            let label: String =
                used.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
            let has = fires.iter().all(|line| line.contains(&format!(",{label}=\"")));
            assert!(has, "{name} has no label {label} when it fires: {fires:?}");
        }
    }
    // And the other way round: what the documentation calls an alert is one.
    let names: BTreeSet<&str> = rules.alerts().map(|alert| alert.name.as_str()).collect();
    for word in
        operations.split('`').filter(|word| word.starts_with("Haetae") && !word.contains(' '))
    {
        assert!(names.contains(word), "{OPERATIONS} tells of {word}");
    }
}

#[test]
fn dashboards_are_whole() {
    let all = Dashboard::all();
    assert!(all.len() >= 3);
    let mut uids = BTreeSet::new();
    for Dashboard { file, text, json } in &all {
        // As Grafana sorts them, so that what is exported from it is compared easily.
        let canonical = serde_json::to_string_pretty(json).unwrap() + "\n";
        if std::env::var_os("HAETAE_UPDATE").is_some() {
            std::fs::write(binary::source_root().join("deploy/grafana").join(file), &canonical)
                .unwrap();
        } else {
            assert!(
                *text == canonical,
                "{file}: HAETAE_UPDATE=1 scripts/test dashboards_are_whole"
            );
        }
        assert!(uids.insert(json["uid"].as_str().unwrap()), "{file}: uid");
        assert!(json["id"].is_null(), "{file}: an id belongs to one Grafana");
        assert!(json["description"].as_str().is_some_and(|it| it.len() > 20), "{file}");
        assert_eq!(json["links"][0]["tags"], json["tags"], "{file} leads to the others");
        let variables = json["templating"]["list"].as_array().unwrap();
        let names: Vec<&str> = variables.iter().filter_map(|it| it["name"].as_str()).collect();
        assert_eq!(names, ["datasource", "namespace", "job", "instance"], "{file}");
    }
    for dashboard in &all {
        let (mut ids, mut taken) = (BTreeSet::new(), BTreeSet::new());
        for panel in dashboard.panels() {
            let (json, place) = (panel.json, format!("{}: {}", dashboard.file, panel.title));
            assert!(ids.insert(json["id"].as_u64().expect(&place)), "{place}: its id is taken");
            assert!(panel.title.len() > 1, "{place}");
            let side = |name: &str| json["gridPos"][name].as_u64().expect(&place);
            let (left, top) = (side("x"), side("y"));
            assert!(left + side("w") <= 24, "{place}");
            for x in left..left + side("w") {
                for y in top..top + side("h") {
                    assert!(taken.insert((x, y)), "{place} lies upon another");
                }
            }
            if json["type"] == "row" {
                continue;
            }
            assert!(
                json["description"].as_str().is_some_and(|it| it.len() > 10),
                "{place}: description"
            );
            assert!(json["fieldConfig"]["defaults"]["unit"].is_string(), "{place}: unit");
            assert!(
                json["fieldConfig"]["defaults"]["thresholds"].is_object(),
                "{place}: thresholds"
            );
            let targets = json["targets"].as_array().expect(&place);
            assert!(!targets.is_empty(), "{place}");
            for part in targets.iter().chain([json]) {
                assert_eq!(part["datasource"]["uid"], "${datasource}", "{place}");
            }
            for target in targets {
                assert!(
                    target["legendFormat"].as_str().is_some_and(|it| !it.is_empty()),
                    "{place}: legend"
                );
            }
        }
    }
}

/// Whether Prometheus can read all of these.
fn reads(expressions: &[(String, String)]) -> Promtool {
    let folder = tempfile::tempdir().unwrap();
    let rules: Vec<Value> = expressions
        .iter()
        .enumerate()
        .map(|(number, (_, expression))| json!({ "record": format!("x{number}"), "expr": expression }))
        .collect();
    // JSON is YAML.
    let file = json!({ "groups": [{ "name": "dashboards", "rules": rules }] });
    std::fs::write(folder.path().join("rules.yaml"), file.to_string()).unwrap();
    Promtool::run_in(folder.path(), &["check", "rules", "rules.yaml"])
}

#[test]
fn dashboards_ask_what_prometheus_understands() {
    let mut all: Vec<_> = Dashboard::all().iter().flat_map(Dashboard::expressions).collect();
    assert!(all.len() > 60, "{}", all.len());
    reads(&all).ok();
    // And it would say so if not.
    all.push(("a mistake".to_owned(), "sum by (job) (rate(up[5m])".to_owned()));
    assert!(!reads(&all).success);
}

/// What is there of the metrics of the four roles, now.
async fn look(stack: &Stack) -> Known {
    let mut known = Known::default();
    for role in Role::ALL {
        let answer = http().get(stack.admin_url(role, "/metrics")).send().await.unwrap();
        known.read(&answer.text().await.unwrap());
    }
    known
}

/// Every selector and grouping label of `expression` that `known` does not have.
fn missing(known: &Known, expression: &str) -> Vec<String> {
    let asked = selectors(expression);
    let mut missing: Vec<String> =
        asked.iter().flat_map(|selector| known.misses(selector)).collect();
    for label in grouping_labels(expression) {
        if label != "le" && !known.has_label(asked.iter().map(|it| it.metric.as_str()), &label) {
            missing.push(format!("nothing has the label {label}"));
        }
    }
    missing
}

/// Something of everything that people and programs do.
async fn make_traffic(stack: &Stack) {
    let mobile = Client::mobile(stack);
    let agent = Agent::new();
    let tokens = mobile.sign_in(&agent, stack.demo().user("demo")).await;
    let customer = Api::bearer(stack, &tokens.access_token);
    let service = shop::service(stack).await;
    let item = service.create_item("Watched", 3).await;
    let held = api::id(&customer.reserve(&[(&item, 1)], None, Some(10)).await);
    customer.reserve(&[(&item, 1)], Some("tok_visa"), Some(10)).await;
    customer.reserve(&[(&item, 9)], None, Some(10)).await;
    customer.post(&format!("reservations/{held}/cancel"), &json!({})).await;
    customer.settled(&held, &["cancelled"]).await;
    let refresh = tokens.refresh_token.as_deref().unwrap();
    mobile.refresh(refresh).await;
    mobile.refresh(refresh).await;
    mobile.refresh("nothing").await;
    mobile.userinfo(&tokens.access_token).await;
    // Refused, each in its own way.
    Api::anonymous(stack).get("reservations").await.problem(401);
    Api::bearer(stack, "nonsense").get("reservations").await.problem(401);
    assert_eq!(Agent::new().get(stack.url("/nothing")).await.status, 404);
    assert_eq!(
        Agent::new().get(mobile.request("nonsense", &[]).url).await.status.as_u16() / 100,
        3
    );
    let forged = http().get(stack.url("/")).header("X-Haetae-User", "admin");
    api::send(forged).await.problem(400);
    let page = Agent::new().get(mobile.request(SCOPE, &[]).url).await;
    let stranger = Agent::new();
    let page = stranger.follow(page, |_| false).await;
    if let Some(form) = page.form_with("password") {
        stranger.submit(&page, &form.with("username", "nobody").with("password", "wrong")).await;
    }
    mobile.revoke(&tokens.access_token).await;
    wait::until_true("the revocation is seen", Duration::from_secs(5), async || {
        customer.get("reservations").await.status == 401
    })
    .await;
}

/// Metrics whose labels come from traffic. Of all others every series is there from the start.
const AS_LABELS_COME: [&str; 3] = [
    "haetae_gateway_requests_total",
    "haetae_auth_request_seconds",
    "haetae_reservation_http_responses_total",
];

#[tokio::test]
async fn what_is_watched_is_there() {
    let stack = Stack::start(Options::default()).await;
    // What is measured in the background comes a moment after the role is ready.
    let mut start = Known::default();
    let first =
        ["haetae_reservation_attention", "haetae_denylist_silent_seconds", "haetae_redis_up"];
    wait::until_true("everything is measured", Duration::from_secs(10), async || {
        start = look(&stack).await;
        first.iter().all(|name| start.series.iter().any(|series| series.starts_with(name)))
    })
    .await;

    // At zero before the first event: else nobody would see the first.
    for (role, series) in [
        (
            Role::Gateway,
            "haetae_gateway_requests_total{route=\"reservation-create\",status=\"503\",blame=\"upstream\"}",
        ),
        (
            Role::Gateway,
            "haetae_gateway_requests_total{route=\"-\",status=\"500\",blame=\"gateway\"}",
        ),
        (Role::Gateway, "haetae_gateway_limited_total{limit=\"sign-in\"}"),
        (Role::Gateway, "haetae_gateway_front_door_refusals_total{rule=\"identity-field\"}"),
        (
            Role::Gateway,
            "haetae_gateway_authentications_total{method=\"bearer\",outcome=\"revoked\"}",
        ),
        (Role::Gateway, "haetae_gateway_connections_refused_total{reason=\"accept-failed\"}"),
        (Role::Gateway, "haetae_gateway_upstream_retries_total{upstream=\"auth\"}"),
        (Role::Gateway, "haetae_gateway_upstream_instances{upstream=\"auth\",state=\"down\"}"),
        (Role::Auth, "haetae_refresh_rotations_total{outcome=\"reused\"}"),
        (Role::Auth, "haetae_auth_panics_total"),
        (Role::Auth, "haetae_auth_audit_dropped_total"),
        (Role::Auth, "haetae_auth_audit_waiting"),
        (Role::Auth, "haetae_auth_audit_events_total{event=\"code.replayed\",outcome=\"failure\"}"),
        (Role::Auth, "haetae_denylist_unpublished_entries"),
        (Role::Reservation, "haetae_reservation_accepted_total"),
        (Role::Reservation, "haetae_reservation_rings_dropped_total"),
        (Role::Worker, "haetae_reservation_contradictions_total"),
        (Role::Worker, "haetae_reservation_states_total{status=\"attention\"}"),
        (Role::Worker, "haetae_reservation_decision_seconds_count"),
        (Role::Worker, "haetae_reservation_attention"),
    ] {
        assert!(start.series.contains(series), "{role:?} lacks {series}");
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let value = stack.metric(role, name, labels.trim_end_matches('}')).await;
        assert!(value == 0.0, "{series} is {value}");
    }
    // And what is not zero when all is well.
    for (role, name, labels, value) in [
        (Role::Gateway, "haetae_gateway_upstream_instances", "upstream=\"auth\",state=\"up\"", 1.0),
        (Role::Gateway, "haetae_redis_up", "", 1.0),
        (Role::Auth, "haetae_auth_sql_up", "", 1.0),
        (Role::Auth, "haetae_keys_ring_keys", "algorithm=\"ES256\",state=\"active\"", 1.0),
        (Role::Auth, "haetae_keys_ring_keys", "algorithm=\"ES256\",state=\"upcoming\"", 1.0),
        (Role::Reservation, "haetae_reservation_part_up", "part=\"sql\"", 1.0),
        (Role::Worker, "haetae_reservation_part_up", "", 2.0),
    ] {
        let found = stack.metric(role, name, labels).await;
        assert!((found - value).abs() < 0.001, "{role:?}: {name}{{{labels}}} is {found}");
    }

    make_traffic(&stack).await;
    let mut known = look(&stack).await;
    let late: Vec<&String> = known
        .series
        .difference(&start.series)
        .filter(|series| !AS_LABELS_COME.iter().any(|name| series.starts_with(name)))
        .collect();
    assert!(late.is_empty(), "appeared with their first event: {late:#?}");

    // What Prometheus makes itself.
    let rules = rules();
    for text in ["up", "ALERTS{alertname=\"\",alertstate=\"firing\"}"] {
        known.add(&selectors(text)[0]);
    }
    for rule in rules.rules.iter().filter(|rule| !rule.is_alert) {
        known.add(&Selector { metric: rule.name.clone(), matchers: Vec::new() });
    }

    let mut asked: BTreeMap<String, String> = BTreeMap::new();
    for rule in &rules.rules {
        asked.insert(format!("{RULES}: {}", rule.name), rule.expression.clone());
    }
    for dashboard in Dashboard::all() {
        for (number, (place, expression)) in dashboard.expressions().into_iter().enumerate() {
            asked.insert(format!("{place} ({number})"), expression);
        }
        for (selector, label) in dashboard.variables() {
            let metric = &selectors(&selector)[0].metric;
            assert!(known.has_label([metric.as_str()], &label), "{}: {label}", dashboard.file);
            asked.insert(format!("{}: ${label}", dashboard.file), selector);
        }
    }
    let operations = source(OPERATIONS);
    for word in operations.split('`').filter(|word| word.contains("haetae_")) {
        // A pipe is escaped in a table, and a histogram goes by its family's name.
        let mut expression = word.replace("\\|", "|");
        if start.series.iter().any(|series| series.starts_with(&format!("{word}_bucket"))) {
            expression.push_str("_bucket");
        }
        asked.insert(format!("{OPERATIONS}: {word}"), expression);
    }
    assert!(asked.len() > 130, "{}", asked.len());
    for (place, expression) in &asked {
        let missing = missing(&known, expression);
        assert!(missing.is_empty(), "{place}: {missing:?} in {expression}");
    }

    // A mistake of any kind is found.
    for wrong in [
        "rate(haetae_gateway_request_total[5m])",
        "haetae_denylist_stale{kind=\"sid\"}",
        "haetae_refresh_rotations_total{outcome=\"re-used\"}",
        "haetae_reservation_part_up{part=~\"redis|sqll\"}",
        "sum by (method, outcom) (haetae_gateway_authentications_total)",
    ] {
        assert_eq!(missing(&known, wrong).len(), 1, "{wrong}");
    }
}

/// What the loudest alerts look at changes when something is away, and changes back.
#[tokio::test]
async fn what_is_away_is_seen() {
    let stack = Stack::start(Options::default().set("DENYLIST__MAX_STALENESS", "1s")).await;
    let is = async |role: Role, name: &str, labels: &str, value: f64| {
        wait::until_true(
            &format!("{name}{{{labels}}} is {value}"),
            Duration::from_secs(20),
            async || (stack.metric(role, name, labels).await - value).abs() < 0.001,
        )
        .await;
    };
    let shares = stack.metric(Role::Worker, "haetae_reservation_partitions", "").await;
    assert!(shares > 0.0);
    is(Role::Worker, "haetae_reservation_partitions_owned", "", shares).await;
    let redis = stack.redis().pid().await.to_string();
    send_signal("STOP", &redis);
    is(Role::Gateway, "haetae_redis_up", "", 0.0).await;
    is(Role::Auth, "haetae_redis_up", "", 0.0).await;
    is(Role::Worker, "haetae_reservation_part_up", "part=\"redis\"", 0.0).await;
    is(Role::Gateway, "haetae_denylist_stale", "", 1.0).await;
    is(Role::Worker, "haetae_reservation_partitions_owned", "", 0.0).await;
    send_signal("CONT", &redis);
    is(Role::Gateway, "haetae_redis_up", "", 1.0).await;
    is(Role::Gateway, "haetae_denylist_stale", "", 0.0).await;
    is(Role::Worker, "haetae_reservation_partitions_owned", "", shares).await;
    // A service that hangs is as good as dead.
    let service = stack.pid(Role::Reservation).to_string();
    send_signal("STOP", &service);
    is(
        Role::Gateway,
        "haetae_gateway_upstream_instances",
        "upstream=\"reservation\",state=\"up\"",
        0.0,
    )
    .await;
    is(
        Role::Gateway,
        "haetae_gateway_upstream_instances",
        "upstream=\"reservation\",state=\"down\"",
        1.0,
    )
    .await;
    is(Role::Gateway, "haetae_gateway_upstream_instances", "upstream=\"auth\",state=\"up\"", 1.0)
        .await;
    send_signal("CONT", &service);
    is(
        Role::Gateway,
        "haetae_gateway_upstream_instances",
        "upstream=\"reservation\",state=\"up\"",
        1.0,
    )
    .await;
}
