//! The reservation API as a client with a bearer token sees it.

use std::{net::SocketAddr, time::Duration};

use serde_json::{Value, json};
use url::Url;

use crate::{
    agent::{Page, http},
    stack::Stack,
    token, wait,
};

/// A caller of `/api/v1`.
#[derive(Clone, Debug)]
pub struct Api {
    base: Url,
    http: reqwest::Client,
    bearer: Option<String>,
}

impl Api {
    /// A caller without a token.
    pub fn anonymous(stack: &Stack) -> Self {
        let base = stack.public_url().join("/api/v1/").expect("an address");
        Self { base, http: http(), bearer: None }
    }

    /// A caller with the access token `token`.
    pub fn bearer(stack: &Stack, token: &str) -> Self {
        Self { bearer: Some(token.to_owned()), ..Self::anonymous(stack) }
    }

    /// A caller of whatever listens at `address`, with some token.
    pub fn naive(address: SocketAddr) -> Self {
        let base = Url::parse(&format!("http://{address}/api/v1/")).expect("an address");
        Self { base, http: http(), bearer: Some("some".to_owned()) }
    }

    /// A request to `path` (no leading slash), with the token.
    pub fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let method = method.parse().expect("a method");
        let request = self.http.request(method, self.base.join(path).expect("an address"));
        match &self.bearer {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// Reads `path`.
    pub async fn get(&self, path: &str) -> Page {
        send(self.request("GET", path)).await
    }

    /// Posts JSON.
    pub async fn post(&self, path: &str, body: &Value) -> Page {
        send(self.request("POST", path).json(body)).await
    }

    /// Creates an inventory item and returns its id.
    pub async fn create_item(&self, name: &str, quantity: u64) -> String {
        let page = self.post("inventory", &json!({ "name": name, "quantity": quantity })).await;
        assert_eq!(page.status, 201, "{}", page.body);
        page.json()["id"].as_str().expect("an id").to_owned()
    }

    /// Reads an inventory item.
    pub async fn item(&self, id: &str) -> Value {
        let page = self.get(&format!("inventory/{id}")).await;
        assert_eq!(page.status, 200, "{}", page.body);
        page.json()
    }

    /// Asks for a reservation of `items` (id, quantity) under a fresh key; `payment` is the token of a
    /// payment, `wait` the seconds of `Prefer: wait`.
    pub async fn reserve(
        &self,
        items: &[(&str, u64)],
        payment: Option<&str>,
        wait: Option<u32>,
    ) -> Page {
        self.reserve_as(&token::random(16), items, payment, wait).await
    }

    /// Like [`Api::reserve`], under the key `key`.
    pub async fn reserve_as(
        &self,
        key: &str,
        items: &[(&str, u64)],
        payment: Option<&str>,
        wait: Option<u32>,
    ) -> Page {
        let items: Vec<_> = items
            .iter()
            .map(|(id, quantity)| json!({ "inventory_id": id, "quantity": quantity }))
            .collect();
        let mut body = json!({ "items": items });
        if let Some(token) = payment {
            body["payment"] = json!({ "token": token });
        }
        let mut request = self.request("POST", "reservations").header("Idempotency-Key", key);
        if let Some(seconds) = wait {
            request = request.header("Prefer", format!("wait={seconds}"));
        }
        send(request.json(&body)).await
    }

    /// Reads a reservation.
    pub async fn reservation(&self, id: &str) -> Value {
        let page = self.get(&format!("reservations/{id}")).await;
        assert_eq!(page.status, 200, "{}", page.body);
        page.json()
    }

    /// Waits until the reservation `id` is in one of `states`, and returns it.
    pub async fn settled(&self, id: &str, states: &[&str]) -> Value {
        wait::until(&format!("{id} becomes {states:?}"), Duration::from_mins(1), async || {
            let page = self.get(&format!("reservations/{id}")).await;
            if page.status != 200 {
                return None;
            }
            let reservation = page.json();
            let state = reservation["status"].as_str().expect("a status").to_owned();
            states.contains(&state.as_str()).then_some(reservation)
        })
        .await
    }
}

/// Sends a request and reads the answer.
pub async fn send(request: reqwest::RequestBuilder) -> Page {
    Page::read(request.send().await.expect("an answer")).await
}

/// The id that an answer carries.
pub fn id(page: &Page) -> String {
    page.json()["id"].as_str().unwrap_or_else(|| panic!("no id: {}", page.body)).to_owned()
}

/// The states of the history of `reservation`, in order.
pub fn history(reservation: &Value) -> Vec<String> {
    reservation["history"]
        .as_array()
        .expect("a history")
        .iter()
        .map(|row| row["status"].as_str().expect("a status").to_owned())
        .collect()
}
