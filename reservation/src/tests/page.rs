//! The pages, as a browser without scripts gets them from the gateway.

use super::stand::{CUSTOMER, SELLER, Stand, send};

fn field<'a>(page: &'a str, name: &str) -> &'a str {
    let start = page.find(&format!("name=\"{name}\" value=\"")).expect(name);
    page[start..].split('"').nth(3).expect("a value")
}

#[tokio::test]
async fn a_person_finds_reserves_confirms_and_cancels() {
    for stand in Stand::each().await {
        let item = stand.bench.priced_item(3, Some(1000)).await;
        let home = stand.get("/?q=thing", "").await;
        assert_eq!(home.status, 200);
        let policy = home.header("content-security-policy");
        assert!(policy.contains("script-src 'self'") && !policy.contains("unsafe"), "{policy}");
        assert!(home.text.contains(&format!("/inventory/{item}")), "{}", home.text);
        assert!(!home.text.contains("<script>") && !home.text.contains(" style="));
        let path = format!("/inventory/{item}");
        let stranger = stand.get(&path, "").await.text;
        assert!(stranger.contains("/session/login?return_to=%2Finventory%2Finv_"), "{stranger}");
        assert!(!stranger.contains("action=\"/reservations\""));
        let page = stand.get(&path, CUSTOMER).await.text;
        let key = field(&page, "key").to_owned();
        let other = stand.get(&path, CUSTOMER).await.text;
        assert_ne!(key, field(&other, "key"), "each rendering has its own");
        let form = |quantity: &'static str, key: &str| {
            let fields = [
                ("item", item.to_string()),
                ("quantity", quantity.to_owned()),
                ("pay", String::new()),
                ("note", "<b>window</b>".to_owned()),
                ("key", key.to_owned()),
            ];
            let request = stand.request("POST", "/reservations", CUSTOMER);
            send(request.header("Origin", &stand.url).form(&fields))
        };
        let wrong = form("0", &key).await;
        assert_eq!(wrong.status, 422);
        assert!(wrong.text.contains("role=\"alert\""));
        let done = form("2", &key).await;
        assert_eq!(done.status, 303, "{}", done.text);
        let one = done.header("location").to_owned();
        assert_eq!(form("2", &key).await.header("location"), one, "a double click reserves once");
        assert_eq!(form("1", &key).await.status, 422, "the same form, filled differently");
        stand.settled(one.rsplit('/').next().expect("an id"), &["held"]).await;
        let page = stand.get(&one, CUSTOMER).await.text;
        assert!(page.contains("Held for you") && page.contains("&#60;b&#62;window"), "{page}");
        assert!(page.contains(&format!("data-events=\"{one}/events\"")));
        let post = |path: String| send(stand.request("POST", &path, CUSTOMER).form(&[("pay", "")]));
        assert_eq!(post(format!("{one}/confirm")).await.status, 303);
        stand.settled(one.rsplit('/').next().expect("an id"), &["confirmed"]).await;
        assert_eq!(post(format!("{one}/cancel")).await.status, 303);
        stand.settled(one.rsplit('/').next().expect("an id"), &["cancelled"]).await;
        let late = post(format!("{one}/confirm")).await;
        assert_eq!(late.status, 409);
        assert!(late.text.contains("can no longer be confirmed"));
        let mine = stand.get("/reservations", CUSTOMER).await.text;
        assert!(mine.contains(&one) && mine.contains("Cancelled"), "{mine}");
    }
}

#[tokio::test]
async fn forms_of_other_sites_do_nothing() {
    let stand = Stand::each().await.remove(0);
    let item = stand.bench.item(3).await;
    let fields =
        [("item", item.to_string()), ("quantity", "1".to_owned()), ("key", "k".repeat(20))];
    let post = |name: &'static str, value: &'static str| {
        let request = stand.request("POST", "/reservations", CUSTOMER);
        send(request.header(name, value).form(&fields))
    };
    assert_eq!(post("Origin", "https://evil.example").await.status, 403);
    assert_eq!(post("Origin", "null").await.status, 403);
    assert_eq!(post("Sec-Fetch-Site", "cross-site").await.status, 403);
    assert_eq!(stand.bench.stock(item).await.available(), 3);
    assert_eq!(post("Sec-Fetch-Site", "same-origin").await.status, 303, "the control");
}

#[tokio::test]
async fn nobody_and_strangers_are_shown_the_way() {
    let stand = Stand::each().await.remove(0);
    let nobody = stand.get("/reservations?lang=ko", "").await;
    assert_eq!(nobody.status, 303);
    let way = "/session/login?return_to=%2Freservations%3Flang%3Dko";
    assert_eq!(nobody.header("location"), way);
    assert!(nobody.header("set-cookie").starts_with("haetae-lang=ko"));
    let seller = stand.get("/reservations", SELLER).await;
    assert_eq!(seller.status, 403, "without the scope");
    let korean = send(stand.request("GET", "/nowhere", "").header("Accept-Language", "ko")).await;
    assert_eq!((korean.status, korean.header("content-language")), (404, "ko"));
    assert!(korean.text.contains("아무것도 없습니다"));
    for asset in ["house.css", "house.js", "reserve.css", "reserve.js", "mark.svg", "roofs.svg"] {
        let asset = stand.get(&format!("/assets/{asset}"), "").await;
        assert_eq!((asset.status, asset.header("x-content-type-options")), (200, "nosniff"));
    }
    stand.get("/assets/Cargo.toml", "").await.problem(404, "not-found");
}
