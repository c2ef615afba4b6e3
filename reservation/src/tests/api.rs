//! The API over HTTP, with everything behind it.

use std::{num::NonZeroU32, time::Duration};

use futures::StreamExt;
use serde_json::json;

use super::{
    bench::{Bench, POLICY, RULES, now, request},
    stand::{CUSTOMER, OTHER, SELLER, Stand, basket, history, send},
};
use crate::store::accept::{AcceptRefusal, AcceptRequest, AcceptRules, Acceptance};

#[tokio::test]
async fn reserves_confirms_and_cancels() {
    for stand in Stand::each().await {
        let item = stand
            .post(
                "/api/v1/inventory",
                SELLER,
                &json!({"name": "A room", "quantity": 3,
                "price": {"amount_minor": 1000, "currency": "KRW"}}),
            )
            .await;
        assert_eq!(item.status, 201, "{}", item.text);
        let id = item.json()["id"].as_str().expect("an id").to_owned();
        assert!(item.header("location").ends_with(&id));
        // At once.
        let accepted = stand.reserve(&basket(&[(&id, 1), (&id, 1)]), 0).await;
        assert_eq!(accepted.status, 202, "{}", accepted.text);
        let first = accepted.json();
        assert_eq!(first["status"], "pending");
        assert_eq!(first["items"], json!([{"inventory_id": id, "quantity": 2}]), "merged");
        assert_eq!(first["total"], json!({"amount_minor": 2000, "currency": "KRW"}));
        let first = first["id"].as_str().expect("an id").to_owned();
        assert_eq!(accepted.header("location"), format!("/api/v1/reservations/{first}"));
        let held = stand.settled(&first, &["held"]).await;
        assert!(held["hold_expires_at"].as_str().expect("an end").ends_with('Z'));
        // Waiting for it.
        let second = stand.reserve(&basket(&[(&id, 1)]), 20).await;
        assert_eq!(second.status, 201, "{}", second.text);
        assert_eq!(second.header("preference-applied"), "wait=20");
        assert_eq!(second.json()["status"], "held");
        let third = stand.reserve(&basket(&[(&id, 1)]), 20).await.problem(409, "not-enough-stock");
        assert_eq!(third["available"], 0);
        // Confirming.
        let confirm = format!("/api/v1/reservations/{first}/confirm");
        let confirmed =
            send(stand.request("POST", &confirm, CUSTOMER).header("Prefer", "wait=20")).await;
        assert_eq!(confirmed.status, 200, "{}", confirmed.text);
        assert_eq!(history(&confirmed.json()), ["pending", "held", "confirmed"]);
        assert_eq!(send(stand.request("POST", &confirm, CUSTOMER)).await.status, 200, "again");
        // Cancelling.
        let cancel = format!("/api/v1/reservations/{first}/cancel");
        let request = stand.request("POST", &cancel, CUSTOMER).header("Prefer", "wait=20");
        let cancelled = send(request.json(&json!({"reason": "rain"}))).await;
        assert_eq!(cancelled.status, 200, "{}", cancelled.text);
        let states = ["pending", "held", "confirmed", "cancelling", "cancelled"];
        assert_eq!(history(&cancelled.json()), states);
        assert_eq!(cancelled.json()["history"][3]["reason"], "rain");
        send(stand.request("POST", &confirm, CUSTOMER)).await.problem(409, "reservation-state");
        let item = stand.get(&format!("/api/v1/inventory/{id}"), "").await.json();
        assert_eq!((item["available"].as_u64(), item["held"].as_u64()), (Some(2), Some(1)));
    }
}

#[tokio::test]
async fn pays_and_gives_back() {
    for stand in Stand::each().await {
        let item = stand.bench.priced_item(10, Some(500)).await;
        let with = |token: &str| {
            let mut body = basket(&[(&item.to_string(), 2)]);
            body["payment"] = json!({"token": token});
            body
        };
        for token in ["tok_ok", "tok_timeout", "tok_flaky", "tok_visa"] {
            let paid = stand.reserve(&with(token), 20).await;
            assert_eq!(paid.status, 201, "{token}: {}", paid.text);
            assert_eq!(paid.json()["payment"]["status"], "captured");
            let id = paid.json()["id"].as_str().expect("an id").to_owned();
            let cancel = format!("/api/v1/reservations/{id}/cancel");
            stand.post(&cancel, CUSTOMER, &json!({})).await;
            let cancelled = stand.settled(&id, &["cancelled"]).await;
            assert_eq!(cancelled["payment"]["status"], "refunded");
        }
        for token in ["tok_declined", "tok_capture_refused", "card"] {
            let refused = stand.reserve(&with(token), 20).await;
            let problem = refused.problem(409, "payment-refused");
            let id = problem["id"].as_str().expect("an id");
            let failed = stand.get(&format!("/api/v1/reservations/{id}"), CUSTOMER).await.json();
            assert_eq!(history(&failed), ["pending", "held", "failed"]);
        }
        assert_eq!(stand.bench.stock(item).await.available(), 10);
        // Held first, paid when confirmed.
        let held = stand.reserve(&basket(&[(&item.to_string(), 1)]), 20).await.json();
        let id = held["id"].as_str().expect("an id");
        let confirm = format!("/api/v1/reservations/{id}/confirm");
        let request = stand.request("POST", &confirm, CUSTOMER).header("Prefer", "wait=20");
        let confirmed = send(request.json(&json!({"payment": {"token": "tok_ok"}}))).await;
        assert_eq!(confirmed.status, 200, "{}", confirmed.text);
        assert_eq!(confirmed.json()["payment"]["status"], "captured");
    }
}

#[tokio::test]
async fn a_payment_that_never_answers_ends_with_an_administrator() {
    for stand in Stand::each().await {
        let item = stand.bench.priced_item(1, Some(500)).await;
        let mut body = basket(&[(&item.to_string(), 1)]);
        body["payment"] = json!({"token": "tok_broken"});
        let accepted = stand.reserve(&body, 0).await.json();
        let id = accepted["id"].as_str().expect("an id").to_owned();
        let stuck = stand.settled(&id, &["attention"]).await;
        assert_eq!(history(&stuck), ["pending", "held", "attention"]);
        assert_eq!(stand.bench.store.count_attention().await.expect("counted"), 1);
        assert_eq!(stand.bench.stock(item).await.held(), 1, "nobody else gets it meanwhile");
        let cancel = format!("/api/v1/reservations/{id}/cancel");
        stand.post(&cancel, CUSTOMER, &json!({})).await.problem(409, "reservation-state");
        // An administrator sees it and decides.
        let admin = "usr_admin:reservations:read+reservations:write+inventory:write";
        let list = stand.get("/api/v1/reservations?status=attention", admin).await.json();
        assert_eq!(list["items"][0]["id"], id.as_str());
        // To try once more is not to have confirmed it.
        let confirm = format!("/api/v1/reservations/{id}/confirm");
        let again = send(stand.request("POST", &confirm, admin).header("Prefer", "wait=1")).await;
        assert_eq!((again.status, &again.json()["status"]), (202, &json!("attention")));
        assert_eq!(stand.post(&cancel, admin, &json!({})).await.status, 202);
        // Whoever decided can follow it, though it needs nobody for the moment.
        let followed = stand.get(&format!("/api/v1/reservations/{id}"), admin).await;
        assert_eq!(followed.status, 200, "{}", followed.text);
        let stuck = stand.settled(&id, &["attention", "cancelled"]).await;
        assert_eq!(history(&stuck)[..4], ["pending", "held", "attention", "cancelling"]);
    }
}

#[tokio::test]
async fn an_idempotency_key_stands_for_one_request() {
    for stand in Stand::each().await {
        let item = stand.bench.item(10).await.to_string();
        let body = basket(&[(&item, 1)]);
        let request = stand.request("POST", "/api/v1/reservations", CUSTOMER);
        send(request.json(&body)).await.problem(400, "idempotency-key-missing");
        for wait in [0, 20] {
            let key = format!("key-{wait}");
            let first = stand.reserve_as(CUSTOMER, &key, &body, wait).await;
            assert!(first.status < 300, "{}", first.text);
            let again = stand.reserve_as(CUSTOMER, &key, &body, wait).await;
            assert_eq!((again.status, &again.text), (first.status, &first.text));
            assert_eq!(again.header("location"), first.header("location"));
            let other = stand.reserve_as(CUSTOMER, &key, &basket(&[(&item, 2)]), wait).await;
            other.problem(422, "idempotency-key-reused");
            let theirs = stand.reserve_as(OTHER, &key, &body, wait).await;
            assert!(theirs.status < 300);
            assert_ne!(theirs.json()["id"], first.json()["id"]);
        }
        // Many at once: one reservation, and the others wait or get the same.
        let answers = futures::future::join_all(
            (0..16).map(|_| stand.reserve_as(CUSTOMER, "same", &body, 0)),
        )
        .await;
        let mut ids = std::collections::BTreeSet::new();
        for answer in answers {
            if answer.status == 409 {
                answer.problem(409, "idempotency-key-running");
            } else {
                assert_eq!(answer.status, 202);
                ids.insert(answer.json()["id"].to_string());
            }
        }
        assert_eq!(ids.len(), 1);
        // Sent again by somebody who now wants to wait: they are told how it went, not what it was.
        let pending = stand.reserve_as(CUSTOMER, "later", &body, 0).await;
        assert_eq!((pending.status, pending.json()["status"].as_str()), (202, Some("pending")));
        let held = stand.reserve_as(CUSTOMER, "later", &body, 20).await;
        assert_eq!((held.status, held.json()["status"].as_str()), (201, Some("held")));
        assert_eq!(held.json()["id"], pending.json()["id"]);
        // What was refused is not remembered: mended, it goes through under the same key.
        let wrong = json!({"items": []});
        stand.reserve_as(CUSTOMER, "mended", &wrong, 0).await.problem(422, "invalid-field");
        assert_eq!(stand.reserve_as(CUSTOMER, "mended", &body, 0).await.status, 202);
        // What could not be had is an outcome like any other.
        let much = basket(&[(&item, 100)]);
        let first = stand.reserve_as(CUSTOMER, "much", &much, 20).await;
        let problem = first.problem(409, "not-enough-stock");
        let again = stand.reserve_as(CUSTOMER, "much", &much, 20).await;
        assert_eq!(again.json()["id"], problem["id"]);
    }
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_with_its_field() {
    let stand = Stand::each().await.remove(0);
    let item = stand.bench.item(10).await.to_string();
    let line = |quantity: serde_json::Value| json!({"items": [{"inventory_id": item, "quantity": quantity}]});
    for quantity in [json!(0), json!(-1), json!(1.5), json!("1"), json!(null), json!(10_001)] {
        let problem = stand.reserve(&line(quantity), 0).await.problem(422, "invalid-field");
        assert_eq!(problem["errors"][0]["field"], "/items/0/quantity", "{problem}");
    }
    let mut long = line(json!(1));
    long["note"] = "x".repeat(501).into();
    stand.reserve(&long, 0).await.problem(422, "invalid-field");
    let mut extra = line(json!(1));
    extra["admin"] = true.into();
    stand.reserve(&extra, 0).await.problem(422, "invalid-field");
    let unknown = basket(&[("inv_01ARZ3NDEKTSV4RRFFQ69G5FAV", 1)]);
    stand.reserve(&unknown, 20).await.problem(422, "unknown-item");
    let post = |body: &'static str, media: &'static str| {
        let request = stand.request("POST", "/api/v1/reservations", CUSTOMER);
        send(request.header("Idempotency-Key", "k").header("Content-Type", media).body(body))
    };
    post("{", "application/json").await.problem(400, "malformed-body");
    // A list is no object, however its elements lie; and nobody learns how this program calls its types.
    for body in ["[[], null, null]", r#"{"items": [["inv_01ARZ3NDEKTSV4RRFFQ69G5FAV", 1]]}"#, "7"] {
        let problem = post(body, "application/json").await.problem(422, "invalid-field");
        let detail = problem["errors"][0]["detail"].to_string();
        assert!(detail.contains("expected an object"), "{body}: {detail}");
    }
    for (body, word) in [
        (
            r#"{"items": [{"inventory_id": "inv_01ARZ3NDEKTSV4RRFFQ69G5FAV", "quantity": "x"}]}"#,
            "whole number",
        ),
        (r#"{"items": {}}"#, "a list"),
    ] {
        let problem = post(body, "application/json").await.problem(422, "invalid-field");
        let detail = problem["errors"][0]["detail"].to_string();
        assert!(detail.contains(word), "{detail}");
        assert!(
            !["u32", "struct", "sequence", "Input"].iter().any(|it| detail.contains(it)),
            "{detail}"
        );
    }
    for (body, field) in [
        ("{}", "/items"),
        (r#"{"items": [{"quantity": 1}]}"#, "/items/0/inventory_id"),
        (r#"{"items": [], "payment": {}}"#, "/payment/token"),
    ] {
        let problem = post(body, "application/json").await.problem(422, "invalid-field");
        let expected = json!([{"field": field, "detail": "it is missing"}]);
        assert_eq!(problem["errors"], expected, "{body}");
    }
    post("{} {}", "application/json").await.problem(422, "invalid-field");
    post("{}", "text/plain").await.problem(415, "unsupported-media-type");
    let zipped = stand.request("POST", "/api/v1/reservations", CUSTOMER).json(&json!({}));
    let zipped = send(zipped.header("Content-Encoding", "gzip")).await;
    zipped.problem(415, "unsupported-media-type");
    assert_eq!(zipped.header("accept-encoding"), "identity");
    let huge = stand.request("POST", "/api/v1/reservations", CUSTOMER);
    let huge = huge.header("Idempotency-Key", "k").json(&json!({"note": "x".repeat(1_000_000)}));
    send(huge).await.problem(413, "body-too-large");
    for path in ["/api/v1/nothing", "/api/v1/inventory/x", "/api/v1/reservations/%FF"] {
        stand.get(path, CUSTOMER).await.problem(404, "not-found");
    }
    for query in ["limit=0", "limit=-1", "limit=x", "limit=101", "cursor=forged"] {
        let path = format!("/api/v1/inventory?{query}");
        let problem = stand.get(&path, "").await.problem(400, "invalid-parameter");
        assert!(!problem["detail"].to_string().contains("deserialize"), "{problem}");
        assert!(!problem["detail"].to_string().contains("digit"), "{problem}");
        assert_eq!(problem["errors"][0]["field"].as_str(), query.split('=').next(), "{problem}");
    }
    let wrong = send(stand.request("PUT", "/api/v1/inventory", CUSTOMER)).await;
    wrong.problem(405, "method-not-allowed");
    assert!(wrong.header("allow").contains("POST"), "{wrong:?}");
    let nobody = stand.get("/api/v1/reservations", "").await;
    nobody.problem(401, "unauthenticated");
    assert!(!nobody.header("www-authenticate").contains("error="));
    let stranger = stand.get("/api/v1/reservations", "forged").await;
    stranger.problem(401, "unauthenticated");
    assert!(stranger.header("www-authenticate").contains("invalid_token"));
    let weak =
        stand.post("/api/v1/inventory", CUSTOMER, &json!({"name": "x", "quantity": 1})).await;
    weak.problem(403, "insufficient-scope");
    assert!(weak.header("www-authenticate").contains("inventory:write"));
}

#[tokio::test]
async fn stock_is_edited_under_its_version() {
    for stand in Stand::each().await {
        let id = stand.bench.item(5).await;
        let path = format!("/api/v1/inventory/{id}");
        let read = stand.get(&path, "").await;
        let tag = read.header("etag").to_owned();
        assert_eq!(tag, "\"1\"");
        let change = |tag: &str, body: serde_json::Value| {
            let request = stand.request("PATCH", &path, SELLER);
            let request = if tag.is_empty() { request } else { request.header("If-Match", tag) };
            send(request.json(&body))
        };
        change("", json!({"name": "b"})).await.problem(428, "precondition-required");
        change("1", json!({"name": "b"})).await.problem(400, "invalid-parameter");
        change("W/\"1\"", json!({"name": "b"})).await.problem(412, "stale-version");
        let changed = change(&tag, json!({"name": "b", "quantity": 6, "sku": "B-1"})).await;
        assert_eq!(changed.status, 200, "{}", changed.text);
        assert_eq!(changed.header("etag"), "\"2\"");
        let stale = change(&tag, json!({"name": "c"})).await.problem(412, "stale-version");
        assert_eq!(stale["version"], 2);
        let known = stand.request("GET", &path, "").header("If-None-Match", "\"2\"");
        assert_eq!(send(known).await.status, 304);
        // A reservation changes what the item says, so it changes its tag.
        assert_eq!(stand.reserve(&basket(&[(&id.to_string(), 4)]), 20).await.status, 201);
        let after = stand.get(&path, "").await;
        assert_eq!(after.header("etag"), "\"3\"");
        assert_eq!(after.json()["available"], 2);
        change("*", json!({"quantity": 3})).await.problem(409, "quantity-in-use");
        let less = change("*", json!({"quantity": 4, "sku": null})).await.json();
        assert_eq!((less["available"].as_u64(), less.get("sku")), (Some(0), None));
        // Attributes are merged as RFC 7396 says, at every depth, and stay within their bounds.
        let set = json!({"attributes": {"a": {"b": 1, "c": 2}, "d": [1], "e": "x"}});
        assert_eq!(change("*", set).await.status, 200);
        let merge =
            json!({"attributes": {"a": {"b": null, "f": {"g": null}}, "d": {"h": 1}, "e": null}});
        let merged = change("*", merge).await.json();
        assert_eq!(merged["attributes"], json!({"a": {"c": 2, "f": {}}, "d": {"h": 1}}));
        for number in 0..4 {
            let many: serde_json::Map<_, _> =
                (0..20).map(|at| (format!("k{number}-{at}"), json!(at))).collect();
            let answer = change("*", json!({"attributes": many})).await;
            if number < 3 {
                assert_eq!(answer.status, 200, "{}", answer.text);
            } else {
                answer.problem(422, "invalid-field");
            }
        }
        for needed in ["name", "quantity"] {
            let problem = change("*", json!({needed: null})).await.problem(422, "invalid-field");
            assert_eq!(problem["errors"][0]["field"], format!("/{needed}"));
        }
        let none = change("*", json!({"attributes": null})).await.json();
        assert_eq!(none.get("attributes"), None, "{none}");
        let body = json!({"name": "x", "quantity": 1, "sku": "SAME"});
        assert_eq!(stand.post("/api/v1/inventory", SELLER, &body).await.status, 201);
        stand.post("/api/v1/inventory", SELLER, &body).await.problem(409, "sku-taken");
    }
}

#[tokio::test]
async fn lists_are_paged_and_searched() {
    for stand in Stand::each().await {
        for number in 0..7 {
            let body = json!({"name": format!("Flight UA{number} EWR→IAH"), "quantity": 1,
                "attributes": {"carrier": "United"}});
            assert_eq!(stand.post("/api/v1/inventory", SELLER, &body).await.status, 201);
        }
        for name in ["서울역 한옥 스테이", "รถไฟไปกรุงเทพ", "किताब मेला", "مَكْتَبَة", "Ⓐ Ⅻ ﬃ ǅ"]
        {
            let body = json!({"name": name, "quantity": 1});
            assert_eq!(stand.post("/api/v1/inventory", SELLER, &body).await.status, 201, "{name}");
        }
        let mut names = Vec::new();
        let mut cursor = String::new();
        loop {
            let path = format!("/api/v1/inventory?q=ewr%20unit&limit=3&cursor={cursor}");
            let page = stand.get(&path, "").await.json();
            let items = page["items"].as_array().expect("items");
            names.extend(items.iter().map(|item| item["name"].to_string()));
            match page["next_cursor"].as_str() {
                Some(next) => next.clone_into(&mut cursor),
                None => break,
            }
        }
        assert_eq!(names.len(), 7, "{names:?}");
        names.dedup();
        assert_eq!(names.len(), 7, "{names:?}");
        for (search, found) in [
            ("서울", 1),
            ("ua3", 1),
            ("3", 0),
            ("' OR 1=1 --", 0),
            ("*", 0),
            ("NEAR(", 0),
            // Words with signs in them that are no letters of their own.
            ("รถไฟ", 1),
            ("กรุงเทพ", 0),
            ("किता", 1),
            ("مَكْت", 1),
            ("ⓐ ⅻ ﬃ ǆ", 1),
        ] {
            let request = stand.request("GET", "/api/v1/inventory", "").query(&[("q", search)]);
            let page = send(request).await;
            assert_eq!(page.status, 200, "{search}: {}", page.text);
            let page = page.json();
            assert_eq!(page["items"].as_array().expect("items").len(), found, "{search}: {page}");
        }
        // A cursor of another list.
        let path = format!("/api/v1/inventory?q=iah&cursor={cursor}");
        stand.get(&path, "").await.problem(400, "invalid-parameter");
    }
}

#[tokio::test]
async fn anothers_reservation_is_not_there() {
    for stand in Stand::each().await {
        let item = stand.bench.item(5).await.to_string();
        let mine = stand.reserve(&basket(&[(&item, 1)]), 20).await.json();
        let id = mine["id"].as_str().expect("an id");
        for path in
            [format!("/api/v1/reservations/{id}"), format!("/api/v1/reservations/{id}/events")]
        {
            stand.get(&path, OTHER).await.problem(404, "not-found");
        }
        for verb in ["confirm", "cancel"] {
            let path = format!("/api/v1/reservations/{id}/{verb}");
            stand.post(&path, OTHER, &json!({})).await.problem(404, "not-found");
        }
        let theirs = stand.get("/api/v1/reservations", OTHER).await.json();
        assert_eq!(theirs, json!({"items": [], "next_cursor": null}));
        let held = stand.get("/api/v1/reservations?status=held&limit=1", CUSTOMER).await.json();
        assert_eq!(held["items"][0]["id"], id);
        assert_eq!(
            stand.get("/api/v1/reservations?status=failed", CUSTOMER).await.json()["items"],
            json!([])
        );
        stand
            .get("/api/v1/reservations?status=lost", CUSTOMER)
            .await
            .problem(400, "invalid-parameter");
    }
}

#[tokio::test]
async fn events_are_followed_and_resumed() {
    for stand in Stand::each().await {
        let item = stand.bench.item(5).await.to_string();
        let accepted = stand.reserve(&basket(&[(&item, 1)]), 0).await.json();
        let id = accepted["id"].as_str().expect("an id").to_owned();
        let path = format!("/api/v1/reservations/{id}/events");
        let follow = async |last: Option<&str>| {
            let mut request = stand.request("GET", &path, CUSTOMER);
            if let Some(last) = last {
                request = request.header("Last-Event-ID", last);
            }
            request.send().await.expect("a stream")
        };
        let first = follow(None).await;
        assert_eq!(first.headers()["content-type"], "text/event-stream");
        let mut stream = first.bytes_stream();
        let mut text = String::new();
        while !text.contains("\"held\"") {
            let chunk = tokio::time::timeout(Duration::from_secs(10), stream.next()).await;
            let chunk = chunk.expect("in time").expect("more").expect("bytes");
            text.push_str(std::str::from_utf8(&chunk).expect("text"));
        }
        assert!(text.contains("\"pending\""), "{text}");
        drop(stream);
        let last = text
            .lines()
            .filter_map(|line| line.strip_prefix("id: ").or_else(|| line.strip_prefix("id:")))
            .next_back()
            .expect("an id")
            .trim()
            .to_owned();
        // What happens while nobody listens.
        let cancel = format!("/api/v1/reservations/{id}/cancel");
        stand.post(&cancel, CUSTOMER, &json!({})).await;
        stand.settled(&id, &["cancelled"]).await;
        let rest = follow(Some(&last)).await.text().await.expect("it ends by itself");
        let data: Vec<serde_json::Value> = rest
            .lines()
            .filter_map(|line| line.strip_prefix("data:"))
            .map(|line| serde_json::from_str(line).expect("json"))
            .collect();
        let states: Vec<_> = data.iter().map(|event| event["status"].as_str()).collect();
        assert_eq!(states, [Some("cancelling"), Some("cancelled")], "{rest}");
        let end = rest.lines().filter_map(|line| line.strip_prefix("id:")).next_back();
        let over = follow(Some(end.expect("an id").trim())).await;
        assert_eq!(over.status(), 204, "nothing follows");
        let wrong = follow(Some("x")).await;
        assert_eq!(wrong.status(), 400);
    }
}

#[tokio::test]
async fn items_come_in_over_http() {
    for stand in Stand::each().await {
        let import = |body: &'static str, query: &str| {
            let path = format!("/api/v1/inventory/import{query}");
            let request = stand.request("POST", &path, SELLER);
            send(request.header("Content-Type", "application/x-ndjson").body(body))
        };
        let file = "{\"sku\":\"a\",\"name\":\"A\",\"quantity\":1}\n\n{\"name\":\"\",\"quantity\":1}\n{\"name\":\"C\",\"quantity\":2}\n";
        let refused = import(file, "").await.problem(422, "bad-lines");
        assert_eq!(refused["lines"][0]["line"], 3);
        let done = import(file, "?skip_bad=true").await;
        assert_eq!(done.status, 200, "{}", done.text);
        assert_eq!(
            (done.json()["created"].as_u64(), done.json()["skipped_count"].as_u64()),
            (Some(2), Some(1))
        );
        let list = stand.get("/api/v1/inventory", "").await.json();
        assert_eq!(list["items"].as_array().expect("items").len(), 2);
    }
}

#[tokio::test]
async fn the_description_names_every_path() {
    let stand = Stand::each().await.remove(0);
    let description = stand.get("/api/v1/openapi.json", "").await.json();
    let paths: Vec<_> = description["paths"].as_object().expect("paths").keys().cloned().collect();
    assert_eq!(
        paths,
        [
            "/api/v1/inventory",
            "/api/v1/inventory/import",
            "/api/v1/inventory/{id}",
            "/api/v1/reservations",
            "/api/v1/reservations/{id}",
            "/api/v1/reservations/{id}/cancel",
            "/api/v1/reservations/{id}/confirm",
            "/api/v1/reservations/{id}/events",
        ]
    );
    let text = description.to_string();
    for reference in text.split("\"#/components/schemas/").skip(1) {
        let name = reference.split('"').next().expect("a name");
        assert!(!description["components"]["schemas"][name].is_null(), "{name} is not described");
    }
    assert!(text.contains("Idempotency-Key") && text.contains("bearer"));
}

/// Whatever an operation answers is described: the refusals that were provoked elsewhere in this file too.
#[tokio::test]
async fn the_description_names_every_answer() {
    let stand = Stand::each().await.remove(0);
    let description = stand.get("/api/v1/openapi.json", "").await.json();
    let answers = |path: &str, method: &str| {
        let described = description["paths"][path][method]["responses"].as_object();
        described.expect("an operation").keys().cloned().collect::<Vec<_>>().join(" ")
    };
    let (all, item) = ("/api/v1/reservations", "/api/v1/reservations/{id}");
    assert_eq!(answers(all, "post"), "201 202 400 401 403 409 413 415 422 429 503");
    assert_eq!(answers(item, "get"), "200 304 400 401 403 404 429 503");
    assert_eq!(
        answers("/api/v1/reservations/{id}/confirm", "post"),
        "200 202 400 401 403 404 409 413 415 422 429 503"
    );
    assert_eq!(answers("/api/v1/inventory", "get"), "200 400 429 503");
    assert_eq!(
        answers("/api/v1/inventory/{id}", "patch"),
        "200 400 401 403 404 409 412 413 415 422 428 429 503"
    );
    for (path, item) in description["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("operations") {
            for (status, response) in operation["responses"].as_object().expect("responses") {
                if status.starts_with(['4', '5']) {
                    let shape = &response["content"]["application/problem+json"]["schema"]["$ref"];
                    assert_eq!(shape, "#/components/schemas/Problem", "{method} {path} {status}");
                }
            }
        }
    }
    let decides = &description["paths"]["/api/v1/reservations/{id}/cancel"]["post"];
    assert_ne!(decides["requestBody"]["required"], true, "it may be left out");
    let changes =
        &description["paths"]["/api/v1/inventory/{id}"]["patch"]["requestBody"]["content"];
    assert!(changes["application/merge-patch+json"].is_object(), "{changes}");
}

#[tokio::test]
async fn a_person_has_so_many_units_open_at_a_time() {
    for bench in Bench::each().await {
        let mut stand = Stand::bounded(bench, POLICY, NonZeroU32::new(5)).await;
        stand.work().await;
        let item = stand.bench.item(100).await.to_string();
        let first = stand.reserve_as(CUSTOMER, "key-first", &basket(&[(&item, 3)]), 20).await;
        assert_eq!(first.status, 201, "{}", first.text);
        let problem = stand.reserve(&basket(&[(&item, 3)]), 0).await.problem(409, "too-many-open");
        assert_eq!(
            (&problem["open"], &problem["wanted"], &problem["most"]),
            (&json!(3), &json!(3), &json!(5))
        );
        // What is not decided yet counts as well.
        assert_eq!(stand.reserve(&basket(&[(&item, 2)]), 0).await.status, 202);
        stand.reserve(&basket(&[(&item, 1)]), 20).await.problem(409, "too-many-open");
        let again = stand.reserve_as(CUSTOMER, "key-first", &basket(&[(&item, 3)]), 20).await;
        assert_eq!((again.status, again.text), (201, first.text.clone()), "a repeated request");
        let other = stand.reserve_as(OTHER, "key-other", &basket(&[(&item, 5)]), 20).await;
        assert_eq!(other.status, 201, "everybody has a bound of their own: {}", other.text);
        let page = stand.get(&format!("/inventory/{item}"), CUSTOMER).await.text;
        let key = page.split("name=\"key\" value=\"").nth(1).expect("a form");
        let key = key.split('"').next().expect("a key");
        let form = [("item", item.as_str()), ("quantity", "1"), ("key", key)];
        let page = send(stand.request("POST", "/reservations", CUSTOMER).form(&form)).await;
        assert_eq!(page.status, 422);
        assert!(page.text.contains("At most 5 units can wait"), "{}", page.text);
        // What is confirmed is open no more.
        let id = first.json()["id"].as_str().expect("an id").to_owned();
        stand.post(&format!("/api/v1/reservations/{id}/confirm"), CUSTOMER, &json!({})).await;
        stand.settled(&id, &["confirmed"]).await;
        assert_eq!(stand.reserve(&basket(&[(&item, 3)]), 20).await.status, 201);
    }
}

#[tokio::test]
async fn many_requests_at_once_do_not_pass_the_bound() {
    for bench in Bench::each().await {
        let item = bench.item(1000).await;
        let rules = AcceptRules { max_open: NonZeroU32::new(10), ..RULES };
        let mut running = Vec::new();
        // Each is a process of its own, with two requests in every commit.
        for _ in 0..8 {
            let store = bench.another().await;
            running.push(tokio::spawn(async move {
                let mut accepted = 0;
                for _ in 0..4 {
                    let new = || AcceptRequest { new: request(&[(item, 1)], None), answer: None };
                    let outcomes = store.accept(vec![new(), new()], rules, now()).await;
                    for outcome in outcomes.expect("a commit") {
                        match outcome {
                            Acceptance::Accepted(_) => accepted += 1,
                            Acceptance::Refused(AcceptRefusal::TooManyOpen { .. }) => {}
                            other => panic!("{other:?}"),
                        }
                    }
                }
                accepted
            }));
        }
        let mut accepted = 0;
        for task in running {
            accepted += task.await.expect("it ends");
        }
        assert_eq!(accepted, 10);
    }
}

#[tokio::test]
async fn a_person_follows_so_many_reservations_at_a_time() {
    for stand in Stand::each().await {
        let item = stand.bench.item(5).await.to_string();
        let held = stand.reserve(&basket(&[(&item, 1)]), 20).await.json();
        let path = format!("/api/v1/reservations/{}/events", held["id"].as_str().expect("an id"));
        let mut open = Vec::new();
        for _ in 0..32 {
            let stream = stand.request("GET", &path, CUSTOMER).send().await.expect("a stream");
            assert_eq!(stream.status(), 200);
            open.push(stream);
        }
        let refused = stand.get(&path, CUSTOMER).await;
        refused.problem(429, "too-many-streams");
        assert_eq!(refused.header("retry-after"), "5");
        drop(open);
        for _ in 0..500 {
            let stream = stand.request("GET", &path, CUSTOMER).send().await.expect("an answer");
            if stream.status() == 200 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let again = stand.request("GET", &path, CUSTOMER).send().await.expect("a stream");
        assert_eq!(again.status(), 200, "closed ones are given back");
    }
}

#[tokio::test]
async fn without_the_database_what_was_browsed_is_still_there() {
    let stand = Stand::each().await.remove(0);
    let item = stand.bench.item(5).await.to_string();
    let (list, one) = ("/api/v1/inventory?limit=10", format!("/api/v1/inventory/{item}"));
    let seen = stand.get(list, "").await;
    assert_eq!(seen.headers.get("cache-status"), None);
    stand.database.set(false);
    for path in [list, one.as_str()] {
        let stale = stand.get(path, "").await;
        assert_eq!(stale.status, 200, "{}", stale.text);
        assert!(stale.header("cache-status").contains("database-away"));
    }
    assert_eq!(stand.get(list, "").await.text, seen.text);
    stand.get("/api/v1/inventory?limit=11", "").await.problem(503, "temporarily-unavailable");
    let refused = stand.reserve(&basket(&[(&item, 1)]), 0).await;
    refused.problem(503, "temporarily-unavailable");
    assert_eq!(refused.header("retry-after"), "2");
    let page = stand.get("/reservations", CUSTOMER).await;
    assert_eq!((page.status, page.header("content-type")), (503, "text/html; charset=utf-8"));
    assert_eq!(stand.get("/", "").await.status, 503, "this page was not looked at before");
    stand.database.set(true);
    assert_eq!(stand.reserve(&basket(&[(&item, 1)]), 20).await.status, 201);
}

#[tokio::test]
async fn streams_and_waits_end_when_the_service_stops() {
    let mut stand = Stand::each().await.remove(0);
    let item = stand.bench.item(5).await.to_string();
    let held = stand.reserve(&basket(&[(&item, 1)]), 20).await.json();
    let path = format!("/api/v1/reservations/{}/events", held["id"].as_str().expect("an id"));
    let stream = stand.request("GET", &path, CUSTOMER).send().await.expect("a stream");
    // Nobody works any more, so this would wait for twenty seconds.
    stand.dismiss().await;
    let waits = basket(&[(&item, 1)]);
    let mut waiting = Box::pin(stand.reserve(&waits, 20));
    let moment = tokio::time::timeout(Duration::from_millis(300), &mut waiting).await;
    assert!(moment.is_err(), "it waits: {moment:?}");
    stand.api.request();
    let answered = tokio::time::timeout(Duration::from_secs(5), waiting).await.expect("it ends");
    assert_eq!(answered.status, 202, "it was accepted: {}", answered.text);
    let rest = tokio::time::timeout(Duration::from_secs(5), stream.text()).await;
    assert!(rest.expect("it ends").expect("in an orderly way").contains("held"));
}
