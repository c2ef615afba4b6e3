//! A stack in business: a customer who is signed in on the phone, and a service that owns the inventory.

use crate::{
    agent::Agent,
    api::Api,
    oidc::{Client, Tokens},
    stack::{Options, Stack},
};

/// A stack with its customer and its service.
#[derive(Debug)]
pub struct Shop {
    /// The stack.
    pub stack: Stack,
    /// `demo-mobile`.
    pub mobile: Client,
    /// The browser that the customer signed in with.
    pub agent: Agent,
    /// The customer's tokens.
    pub tokens: Tokens,
    /// The customer at the API.
    pub customer: Api,
    /// `demo-service` at the API: may write inventory.
    pub service: Api,
}

impl Shop {
    /// Starts a stack, signs `demo` in and fetches a token for `demo-service`.
    pub async fn open(options: Options) -> Self {
        let stack = Stack::start(options).await;
        let mobile = Client::mobile(&stack);
        let agent = Agent::new();
        let tokens = mobile.sign_in(&agent, stack.demo().user("demo")).await;
        let customer = Api::bearer(&stack, &tokens.access_token);
        let service = service(&stack).await;
        Self { stack, mobile, agent, tokens, customer, service }
    }

    /// Signs the customer and the service in anew, for tests that outlive a token.
    pub async fn renew(&mut self) {
        let agent = Agent::new();
        self.tokens = self.mobile.sign_in(&agent, self.stack.demo().user("demo")).await;
        self.agent = agent;
        self.customer = Api::bearer(&self.stack, &self.tokens.access_token);
        self.service = service(&self.stack).await;
    }
}

/// `demo-service` with a fresh token.
pub async fn service(stack: &Stack) -> Api {
    let client = Client::new(stack, stack.demo().client("demo-service"));
    let token = client.client_credentials("inventory:write").await.access_token;
    Api::bearer(stack, &token)
}
