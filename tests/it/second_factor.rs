//! Two-step sign-in: enrolment, the code, recovery codes, step-up, and the ways around it that others had.

use haetae_tests::{
    agent::{Agent, Page},
    html,
    oidc::{self, Client, SCOPE},
    stack::{DemoUser, Options, Stack},
    token::Token,
    totp::Authenticator,
};

/// Signs in at the pages themselves, without a client.
async fn open_account(stack: &Stack, agent: &Agent, user: &DemoUser) -> Page {
    let page = agent.open(stack.url("/login")).await;
    let form =
        page.form_with("password").unwrap_or_else(|| panic!("{}: {}", page.url, page.text()));
    let form = form.with("username", &user.username).with("password", &user.password);
    let page = agent.submit(&page, &form).await;
    let page = agent.follow(page, |_| false).await;
    assert_eq!(page.status, 200, "{}: {}", page.url, page.text());
    page
}

/// Turns two-step sign-in on and returns the authenticator and the recovery codes.
async fn enrol(stack: &Stack, agent: &Agent, user: &DemoUser) -> (Authenticator, Vec<String>) {
    let mut page = agent.open(stack.url("/account/two-step")).await;
    if page.form_with("code").is_none()
        && let Some(form) = page.form_with("password")
    {
        page = agent.submit(&page, &form.with("password", &user.password)).await;
        page = agent.follow(page, |_| false).await;
    }
    assert!(page.body.contains("<svg"), "a QR code: {}", page.text());
    let secret = element(&page.body, "key").unwrap_or_else(|| panic!("a secret: {}", page.text()));
    let authenticator = Authenticator::from_base32(&secret);
    let form = page.form_with("code").expect("a field for the first code");
    let wrong = agent.submit(&page, &form.clone().with("code", "000000")).await;
    assert!(
        wrong.status.is_client_error() || wrong.form_with("code").is_some(),
        "{}",
        wrong.status
    );
    let page = agent.open(stack.url("/account/two-step")).await;
    // A new page may have a new secret.
    let secret = element(&page.body, "key").expect("a secret");
    let authenticator = if page.form_with("code").is_some() {
        Authenticator::from_base32(&secret)
    } else {
        authenticator
    };
    let form = page.form_with("code").expect("a field for the first code");
    let page = agent.submit(&page, &form.with("code", &authenticator.code(0))).await;
    let page = agent.follow(page, |_| false).await;
    let list =
        element(&page.body, "codes").unwrap_or_else(|| panic!("recovery codes: {}", page.text()));
    let codes: Vec<String> = list.split_whitespace().map(str::to_owned).collect();
    assert!(codes.len() >= 8, "{codes:?}");
    (authenticator, codes)
}

/// The text of the element with this id.
fn element(page: &str, id: &str) -> Option<String> {
    let (_, rest) = page.split_once(&format!("id=\"{id}\""))?;
    let (_, rest) = rest.split_once('>')?;
    let end = ["</code>", "</ol>", "</ul>"].iter().filter_map(|tag| rest.find(tag)).min()?;
    Some(html::text(&rest[..end]))
}

/// Gives the password for `request` and returns the page of the code.
async fn until_the_code(agent: &Agent, request: &oidc::Request, user: &DemoUser) -> Page {
    let page = agent.open(&request.url).await;
    let form =
        page.form_with("password").unwrap_or_else(|| panic!("{}: {}", page.url, page.text()));
    let form = form.with("username", &user.username).with("password", &user.password);
    let page = agent.submit(&page, &form).await;
    let page = agent.follow(page, |url| url.as_str().starts_with("http://127.0.0.1:49152")).await;
    assert!(page.form_with("code").is_some(), "a code is due: {} {}", page.url, page.text());
    page
}

#[tokio::test]
async fn a_stolen_password_alone_opens_nothing() {
    let stack = Stack::start(Options::default()).await;
    let demo = stack.demo().user("demo").clone();
    let agent = Agent::new();
    open_account(&stack, &agent, &demo).await;
    let (authenticator, recovery) = enrol(&stack, &agent, &demo).await;

    let mobile = Client::mobile(&stack);
    let thief = Agent::new();
    let request = mobile.request(SCOPE, &[]);
    let page = until_the_code(&thief, &request, &demo).await;
    // Going back to the request, or straight on, is no way around the code (CVE-2025-64103).
    let around = thief.open(&request.url).await;
    assert!(!around.url.as_str().starts_with("http://127.0.0.1:49152"), "{}", around.url);
    assert!(around.form_with("password").is_some() || around.form_with("code").is_some());
    let id =
        page.url.query_pairs().find(|(name, _)| name == "request").map(|(_, id)| id.into_owned());
    if let Some(id) = id {
        let resume = thief.get(stack.url(&format!("/oauth2/authorize/resume?request={id}"))).await;
        let there = resume.location().map(|url| url.to_string()).unwrap_or_default();
        assert!(!there.contains("code="), "{there}");
    }
    let account = thief.open(stack.url("/account")).await;
    assert!(
        account.form_with("password").is_some() || account.form_with("code").is_some(),
        "{}",
        account.text()
    );

    // The code, once.
    let honest = Agent::new();
    let code = authenticator.code(1);
    let page = until_the_code(&honest, &request, &demo).await;
    let form = page.form_with("code").unwrap();
    let answer = honest.submit(&page, &form.with("code", &code)).await;
    let answer =
        honest.follow(answer, |url| url.as_str().starts_with("http://127.0.0.1:49152")).await;
    let location = answer.location().unwrap_or_else(|| panic!("{} {}", answer.url, answer.text()));
    let granted =
        location.query_pairs().find(|(name, _)| name == "code").expect("a code").1.into_owned();
    let tokens = oidc::tokens(&mobile.exchange(&granted, &request.verifier).await);
    let claims = Token::read(&tokens.access_token).claims;
    assert_eq!(claims["acr"], "2fa");
    for method in ["pwd", "otp", "mfa"] {
        assert!(claims["amr"].as_array().unwrap().iter().any(|one| one == method), "{claims}");
    }
    let replay = Agent::new();
    let page = until_the_code(&replay, &mobile.request(SCOPE, &[]), &demo).await;
    let form = page.form_with("code").unwrap();
    let again = replay.submit(&page, &form.with("code", &code)).await;
    assert!(
        !again.status.is_redirection(),
        "a code works once (RFC 6238 5.2): {:?}",
        again.location()
    );

    // A recovery code, once.
    for (attempt, works) in [(0, true), (1, false)] {
        let lost_phone = Agent::new();
        let page = until_the_code(&lost_phone, &mobile.request(SCOPE, &[]), &demo).await;
        let other = html::links(&page.body).into_iter().find(|link| link.contains("recovery"));
        let page =
            lost_phone.open(page.url.join(&other.expect("a link for a lost phone")).unwrap()).await;
        let form = page.form_with("code").unwrap_or_else(|| panic!("{}", page.text()));
        let answer = lost_phone.submit(&page, &form.with("code", &recovery[0])).await;
        assert_eq!(
            answer.status.is_redirection(),
            works,
            "use {attempt}: {} {}",
            answer.status,
            answer.text()
        );
    }
}

#[tokio::test]
async fn codes_cannot_be_guessed() {
    let stack = Stack::start(Options::default().set("AUTH__LOGIN__ATTEMPTS", "5")).await;
    let demo = stack.demo().user("demo").clone();
    let agent = Agent::new();
    open_account(&stack, &agent, &demo).await;
    let (authenticator, _) = enrol(&stack, &agent, &demo).await;
    let mobile = Client::mobile(&stack);
    let thief = Agent::new();
    let mut last = 0;
    for guess in 0..12 {
        let page = thief.open(mobile.request(SCOPE, &[]).url).await;
        let page = if let Some(form) = page.form_with("password") {
            let form = form.with("username", &demo.username).with("password", &demo.password);
            let page = thief.submit(&page, &form).await;
            thief.follow(page, |_| false).await
        } else {
            page
        };
        last = page.status.as_u16();
        if last == 429 {
            break;
        }
        let form = page.form_with("code").unwrap_or_else(|| panic!("{}", page.text()));
        let answer = thief.submit(&page, &form.with("code", &format!("{guess:06}"))).await;
        assert!(
            !answer.status.is_redirection()
                || answer.location().is_some_and(|url| url.path() == "/login")
        );
        last = answer.status.as_u16();
        if last == 429 {
            break;
        }
    }
    assert_eq!(last, 429, "guessing goes on for ever; the code would be {}", authenticator.code(0));
}

/// A client that needs more asks for just the missing factor (RFC 9470).
#[tokio::test]
async fn step_up_asks_for_the_missing_factor_only() {
    let stack = Stack::start(Options::default()).await;
    let demo = stack.demo().user("demo").clone();
    let mobile = Client::mobile(&stack);
    let agent = Agent::new();
    let before = mobile.sign_in(&agent, &demo).await;
    assert_eq!(Token::read(&before.access_token).claims["acr"], "1fa");
    let (authenticator, _) = enrol(&stack, &agent, &demo).await;
    let page = agent.get(mobile.request(SCOPE, &[("acr_values", "2fa")]).url).await;
    let ours = |url: &url::Url| url.as_str().starts_with(&mobile.redirect_uri);
    let page = Some(agent.follow(page, ours).await).filter(|page| page.location().is_none());
    // Enrolment itself may count as the second factor; otherwise the code alone is asked for.
    if let Some(page) = page {
        assert!(
            page.form_with("password").is_none(),
            "the password was given already: {}",
            page.text()
        );
        assert!(page.form_with("code").is_some(), "{}", page.text());
    }
    let fresh = Agent::new();
    // The present code was used up by the enrolment.
    let later = authenticator.ahead(1);
    let tokens = mobile.sign_in_with(&fresh, &demo, Some(&later), SCOPE).await;
    assert_eq!(Token::read(&tokens.access_token).claims["acr"], "2fa");
}

/// A person without an account makes one, signs in with it, and reserves.
#[tokio::test]
async fn a_new_person_registers_and_is_signed_in() {
    let stack = Stack::start(Options::default()).await;
    let mobile = Client::mobile(&stack);
    let agent = Agent::new();
    let request = mobile.request(SCOPE, &[("prompt", "create")]);
    let page = agent.open(&request.url).await;
    let form =
        page.form_with("username").unwrap_or_else(|| panic!("{}: {}", page.url, page.text()));
    let filled = |name: &str, password: &str| {
        let mut form = form.clone().with("username", name);
        let names: Vec<String> = form.fields.iter().map(|(name, _)| name.clone()).collect();
        for field in names {
            if field.contains("password") {
                form = form.with(&field, password);
            } else if field.contains("name") && field != "username" {
                form = form.with(&field, "New Person");
            }
        }
        form
    };
    for (name, password, why) in [
        ("newcomer", "short", "short"),
        ("newcomer", "passwordpassword", "common"),
        ("newcomer", "newcomer-newcomer", "the name in it"),
        ("demo", "correct horse battery", "taken"),
        ("", "correct horse battery", "no name"),
    ] {
        let refused = agent.submit(&page, &filled(name, password)).await;
        assert!(!refused.status.is_redirection(), "{why}: {:?}", refused.location());
        assert!(refused.form_with("username").is_some(), "{why}: {}", refused.text());
    }
    let created = agent.submit(&page, &filled("newcomer", "correct horse battery staple")).await;
    let answer = agent.follow(created, |url| url.as_str().starts_with(&mobile.redirect_uri)).await;
    let location = answer.location().unwrap_or_else(|| panic!("{} {}", answer.url, answer.text()));
    let code =
        location.query_pairs().find(|(name, _)| name == "code").expect("a code").1.into_owned();
    let tokens = oidc::tokens(&mobile.exchange(&code, &request.verifier).await);
    let again = DemoUser {
        username: "newcomer".to_owned(),
        password: "correct horse battery staple".to_owned(),
        roles: Vec::new(),
    };
    let second = mobile.sign_in(&Agent::new(), &again).await;
    assert_eq!(
        Token::read(&tokens.access_token).claims["sub"],
        Token::read(&second.access_token).claims["sub"]
    );
}

/// A changed password signs other devices out; this one stays.
#[tokio::test]
async fn a_changed_password_signs_other_devices_out() {
    let stack = Stack::start(Options::default()).await;
    let guest = stack.demo().user("guest").clone();
    let mobile = Client::mobile(&stack);
    let (here, elsewhere) = (Agent::new(), Agent::new());
    let old = mobile.sign_in(&elsewhere, &guest).await;
    open_account(&stack, &here, &guest).await;
    let page = here.open(stack.url("/account/password")).await;
    let form = html::forms(&page.body)
        .into_iter()
        .find(|form| {
            form.fields
                .iter()
                .filter(|(name, _)| name.contains("password") || name.contains("new"))
                .count()
                >= 2
        })
        .unwrap_or_else(|| panic!("{}", page.text()));
    let mut filled = form.clone();
    let names: Vec<String> = form.fields.iter().map(|(name, _)| name.clone()).collect();
    for name in names.iter().filter(|name| !["csrf", "username"].contains(&name.as_str())) {
        let current = name.contains("current") || name == "password";
        filled =
            filled.with(name, if current { &guest.password } else { "a wholly new passphrase" });
    }
    let page = here.submit(&page, &filled).await;
    assert!(page.status.is_redirection(), "{} {}", page.status, page.text());
    let caller = haetae_tests::api::Api::bearer(&stack, &old.access_token);
    haetae_tests::wait::until_true(
        "the other device is signed out",
        std::time::Duration::from_secs(3),
        async || caller.get("reservations").await.status == 401,
    )
    .await;
    oidc::refused(&mobile.refresh(old.refresh_token.as_ref().unwrap()).await, 400, "invalid_grant");
    let account = here.open(stack.url("/account")).await;
    assert!(account.form_with("password").is_none(), "this device stays: {}", account.text());
    let renewed = DemoUser { password: "a wholly new passphrase".to_owned(), ..guest };
    mobile.sign_in(&Agent::new(), &renewed).await;
}
