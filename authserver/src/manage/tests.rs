use std::{
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use haetae_base::{redis::Redis, secret::ExposeSecret};
use haetae_config::Config;
use haetae_keys::claims::Acr;
use haetae_session::{
    SessionId,
    denylist::RevocationLog,
    family::{FamilyGrant, FamilyStore},
    sso::{Factors, SsoStore, Start},
};
use secrecy::SecretString;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;
use crate::{
    audit::What,
    domain::account::Account,
    run::{family_policy, sso_lifetimes},
    sign_in::{
        hash_cost,
        hash_pool::{HashPool, Verdict},
    },
};

/// An installation as `haetae up` makes it: SQLite and a Redis in one folder.
struct Installed {
    manage: Manage,
    config: Arc<Config>,
    server: Child,
    _folder: TempDir,
}

impl Drop for Installed {
    fn drop(&mut self) {
        self.server.kill().expect("killed");
        self.server.wait().expect("gone");
    }
}

async fn install() -> Installed {
    let folder = tempfile::tempdir().expect("a folder");
    let mut config = Config::for_tests(folder.path());
    config.auth.password.memory_kib = 64;
    config.auth.password.iterations = 1;
    // One algorithm: RSA keys take their time.
    config.keys.algorithms.truncate(1);
    let server = Command::new("redis-server")
        .args(["--port", "0", "--save", "", "--unixsocket"])
        .arg(config.redis_socket())
        .stdout(Stdio::null())
        .spawn()
        .expect("redis-server is installed");
    let config = Arc::new(config);
    let manage = Manage::open(&config).await.expect("opened");
    let installed = Installed { manage, config, server, _folder: folder };
    for _ in 0..500 {
        if installed.redis().await.is_some() {
            return installed;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("redis-server does not start");
}

impl Installed {
    async fn redis(&self) -> Option<Redis> {
        Redis::connect(&self.config.redis_url(), Duration::from_secs(2)).await.ok()
    }

    async fn open_account(&self, username: &str) -> Account {
        let new = NewAccount {
            username: username.to_owned(),
            password: "tiger lily on the roof".to_owned().into(),
            display_name: None,
            email: None,
            roles: Vec::new(),
        };
        self.manage.create_account(new).await.expect("opened")
    }

    /// Signs the account in: a session and a refresh token in it.
    async fn sign_in(&self, account: &Account) -> (SsoStore, SessionId, FamilyStore, SecretString) {
        let redis = self.redis().await.expect("redis");
        let now = self.manage.now();
        let sso = SsoStore::connect(redis.clone(), sso_lifetimes(&self.config)).await.expect("sso");
        let factors =
            Factors { auth_time: now, acr: Acr::OneFactor, amr: vec!["pwd".to_owned()], epoch: 0 };
        let start = Start {
            sub: account.id.to_string(),
            factors: factors.clone(),
            user_agent: None,
            address: None,
        };
        let session = sso.create(start, now).await.expect("a session").session;
        let families =
            FamilyStore::connect(redis, family_policy(&self.config), &self.manage.master)
                .await
                .expect("families");
        let grant: FamilyGrant = serde_json::from_value(json!({
            "sub": account.id, "client_id": "app", "sid": session.sid,
            "scope": "openid offline_access", "auth_time": now, "acr": factors.acr,
            "amr": factors.amr, "offline": true,
        }))
        .expect("a grant");
        let token = families.start(&grant, now).await.expect("a refresh token");
        (sso, session.sid, families, token)
    }

    /// What the denylist has, as `kind value`.
    async fn denied(&self) -> Vec<String> {
        let log = Revocations::new(self.manage.sql.clone());
        let all = log.live(self.manage.now(), 0, 100).await.expect("the log");
        all.iter().map(|one| format!("{} {}", one.entry.kind, one.entry.value)).collect()
    }

    async fn trail(&self) -> Vec<String> {
        let query = AuditQuery { limit: 100, ..AuditQuery::default() };
        let events = self.manage.audit(&query).await.expect("the trail");
        events.into_iter().map(|event| event.event).collect()
    }

    async fn password_is(&self, username: &str, password: &str) -> Verdict {
        let account = self.manage.account(username).await.expect("an account");
        let stored = account.password.map(|hash| hash.as_phc().to_owned());
        let pool = HashPool::start(hash_cost(&self.config), 1, 1).expect("threads");
        pool.verify(password.to_owned().into(), stored).await.expect("verified")
    }
}

#[tokio::test]
async fn an_installation_is_empty_until_somebody_comes_and_a_demo_when_it_is_marked() {
    let installed = install().await;
    let manage = &installed.manage;
    assert!(manage.is_empty().await.expect("asked"));
    assert!(!manage.is_demo().await.expect("asked"));
    manage.mark_as_demo().await.expect("marked");
    assert!(manage.is_demo().await.expect("asked"));
    installed.open_account("ann").await;
    assert!(!manage.is_empty().await.expect("asked"));
}

#[tokio::test]
async fn an_account_is_opened_once_with_what_may_be() {
    let installed = install().await;
    let manage = &installed.manage;
    let account = installed.open_account("Ann").await;
    assert_eq!(account.display_name, "Ann");
    assert_eq!(installed.password_is("ann", "tiger lily on the roof").await, Verdict::Right);
    assert_eq!(installed.password_is("ann", "tiger lily on the moon").await, Verdict::Wrong);
    for (username, password, role, why) in [
        ("aNN", "tiger lily on the roof", None, "there is an account aNN already"),
        ("?", "tiger lily on the roof", None, "\"?\" cannot be a username"),
        ("bob", "short", None, "it is too short (at least 12 characters)"),
        ("bob", "tiger lily on the roof", Some("boss"), "\"boss\": not a role"),
    ] {
        let new = NewAccount {
            username: username.to_owned(),
            password: password.to_owned().into(),
            display_name: None,
            email: None,
            roles: role.map(str::to_owned).into_iter().collect(),
        };
        let error = manage.create_account(new).await.expect_err("refused").to_string();
        assert!(error.contains(why), "{error}");
    }
    assert_eq!(manage.accounts().await.expect("listed").len(), 1);
    assert_eq!(installed.trail().await, ["account.created"]);
}

#[tokio::test]
async fn a_shut_account_is_signed_out_everywhere() {
    let installed = install().await;
    let manage = &installed.manage;
    let (ann, bob) = (installed.open_account("ann").await, installed.open_account("bob").await);
    let (sso, _, families, token) = installed.sign_in(&ann).await;
    let (_, other, _, other_token) = installed.sign_in(&bob).await;
    manage.disable_account("ann").await.expect("shut");

    let now = manage.now();
    assert!(manage.account("ann").await.expect("there").is_disabled());
    assert_eq!(sso.list(&ann.id.to_string(), now).await.expect("asked"), []);
    assert!(families.inspect(token.expose_secret(), now).await.expect("asked").is_none());
    assert_eq!(installed.denied().await, [format!("sub {}", ann.id)]);
    // The control: somebody else stays.
    let sessions = manage.sessions(None).await.expect("listed");
    assert_eq!(sessions.iter().map(|(_, it)| it.sid).collect::<Vec<_>>(), [other]);
    assert!(families.inspect(other_token.expose_secret(), now).await.expect("asked").is_some());

    manage.enable_account("ann").await.expect("opened");
    assert!(!manage.account("ann").await.expect("there").is_disabled());
    let trail = installed.trail().await;
    assert!(trail.contains(&"account.disabled".to_owned()), "{trail:?}");
    assert!(trail.contains(&"account.enabled".to_owned()), "{trail:?}");
    let error = manage.disable_account("nobody").await.expect_err("refused");
    assert_eq!(error.to_string(), "there is no account nobody");
}

#[tokio::test]
async fn a_new_password_ends_what_was_signed_in_with_the_old_one() {
    let installed = install().await;
    let ann = installed.open_account("ann").await;
    let (sso, ..) = installed.sign_in(&ann).await;
    let password: SecretString = "a whole new sentence".to_owned().into();
    installed.manage.set_password("ann", &password).await.expect("set");
    assert_eq!(installed.password_is("ann", password.expose_secret()).await, Verdict::Right);
    assert_eq!(installed.password_is("ann", "tiger lily on the roof").await, Verdict::Wrong);
    let left = sso.list(&ann.id.to_string(), installed.manage.now()).await.expect("asked");
    assert_eq!(left, []);
    assert_eq!(installed.denied().await, [format!("sub {}", ann.id)]);
}

#[tokio::test]
async fn one_sign_in_ends_and_the_others_stay() {
    let installed = install().await;
    let ann = installed.open_account("ann").await;
    let (_, first, families, token) = installed.sign_in(&ann).await;
    let (_, second, ..) = installed.sign_in(&ann).await;
    let manage = &installed.manage;
    manage.end_session(&first.to_string()).await.expect("ended");
    let left = manage.sessions(Some("ann")).await.expect("listed");
    assert_eq!(left.iter().map(|(_, it)| it.sid).collect::<Vec<_>>(), [second]);
    assert!(families.inspect(token.expose_secret(), manage.now()).await.expect("asked").is_none());
    assert_eq!(installed.denied().await, [format!("sid {first}")]);
    for unknown in ["sid_x".to_owned(), ann.id.to_string()] {
        let error = manage.end_session(&unknown).await.expect_err("refused").to_string();
        assert_eq!(error, format!("there is no sign-in {unknown}"));
    }
    assert_eq!(manage.end_sessions("ann").await.expect("ended"), 1);
}

/// The metadata of a client without a secret and of one that gets one.
fn public_and_service() -> [Value; 2] {
    let public = json!({
        "client_id": "app", "token_endpoint_auth_method": "none", "application_type": "native",
        "redirect_uris": ["http://127.0.0.1/callback"],
    });
    [public, json!({"client_id": "sync", "grant_types": ["client_credentials"]})]
}

#[tokio::test]
async fn clients_are_registered_all_or_none() {
    let installed = install().await;
    let manage = &installed.manage;
    let [public, service] = public_and_service();
    for (broken, why) in [
        (json!({"client_id": "x", "grant_types": ["telepathy"]}), "client 2: x: unknown variant"),
        (json!({"grant_types": ["client_credentials"]}), "client 2: missing field `client_id`"),
        (json!("x"), "client 2: "),
        (
            json!({"client_id": "app", "grant_types": ["client_credentials"]}),
            "a client app already",
        ),
        (
            json!({"client_id": "x", "grant_types": ["client_credentials"], "client_secret": ""}),
            "client 2: x: its client_secret is empty",
        ),
        (
            json!({"client_id": "haetae-gateway", "grant_types": ["client_credentials"]}),
            "there is a client haetae-gateway already",
        ),
        (json!({"client_id": "x"}), "client x: "),
    ] {
        let clients = vec![public.clone(), broken];
        let error = manage.import_clients(clients).await.expect_err("refused").to_string();
        assert!(error.contains(why), "{error}");
    }
    assert!(manage.clients().await.expect("listed").is_empty(), "none was registered");

    let registered = manage.import_clients(vec![public, service]).await.expect("registered");
    assert!(registered[0].made_secret.is_none(), "a public client has none");
    let secret = registered[1].made_secret.as_ref().expect("made").expose_secret();
    let stored = manage.clients.find("sync").await.expect("asked").expect("there");
    assert!(stored.has_secret(secret) && !stored.has_secret("something else"));

    manage.disable_client("sync").await.expect("shut");
    assert!(
        manage.clients.find("sync").await.expect("asked").expect("there").disabled_at.is_some()
    );
    assert_eq!(installed.denied().await, ["client_id sync"]);
    let newest = async || {
        let log = Revocations::new(manage.sql.clone());
        let all = log.live(manage.now(), 0, 100).await.expect("the log");
        all.iter().map(|one| one.entry.issued_before).max().expect("an entry")
    };
    let shut = newest().await;
    // What an authserver issues that has not heard of it.
    let late = manage.now().plus(Duration::from_millis(20));
    assert!(shut < late, "what it gets when it is open again must not be refused");
    while manage.now() <= late {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    manage.enable_client("sync").await.expect("opened at once");
    let opened = newest().await;
    assert!(opened > late, "refused for good");
    assert!(opened <= manage.now().plus(Duration::from_millis(1)), "and nothing of later");
    assert!(
        manage.clients.find("sync").await.expect("asked").expect("there").disabled_at.is_none()
    );
}

#[tokio::test]
async fn a_secret_that_is_short_is_taken_and_told() {
    let installed = install().await;
    let with = |client_id: &str, secret: &str| json!({"client_id": client_id, "client_secret": secret, "grant_types": ["client_credentials"]});
    let clients = vec![
        with("short", "s3cr3t"),
        with("long", "sixteen letters."),
        json!({"client_id": "made", "grant_types": ["client_credentials"]}),
    ];
    let registered = installed.manage.import_clients(clients).await.expect("registered");
    let short: Vec<bool> = registered.iter().map(|one| one.short_secret).collect();
    assert_eq!(short, [true, false, false]);
    assert!(registered[0].client.has_secret("s3cr3t"));
}

#[tokio::test]
async fn the_trail_is_followed_whatever_the_order_in_which_events_are_stored() {
    let installed = install().await;
    let manage = &installed.manage;
    let event = |back| {
        let at = manage.now().minus(Duration::from_millis(back));
        Event::success(What::SignIn).at(at)
    };
    let (old, shown, late) = (event(40_000), event(30_000), event(20_000));
    let (same, other) = (event(10_000), event(10_000));
    manage.trail.append(&[old, shown.clone(), same.clone()]).await.expect("sql");
    // Asked for two: the third last is not told later either.
    let query = AuditQuery { limit: 2, ..AuditQuery::default() };
    let (events, mut follow) = manage.audit_from_here(query).await.expect("the trail");
    let ids = |events: &[Recorded]| events.iter().map(|event| event.id).collect::<Vec<_>>();
    assert_eq!(ids(&events), [shown.id, same.id]);
    assert_eq!(manage.audit_since(&mut follow).await.expect("the trail").len(), 0);
    // Stored by others a moment later, and older by their ids.
    manage.trail.append(&[late.clone(), other.clone()]).await.expect("sql");
    let told = manage.audit_since(&mut follow).await.expect("the trail");
    let mut expected = vec![late.id, other.id];
    expected.sort();
    assert_eq!(ids(&told), expected);
    assert_eq!(manage.audit_since(&mut follow).await.expect("the trail").len(), 0);
}

#[tokio::test]
async fn a_revoked_key_is_out_of_the_ring_and_on_the_denylist() {
    let installed = install().await;
    let ring = installed.manage.keys().await.expect("opened");
    let active = ring
        .list()
        .into_iter()
        .find(|key| key.state == haetae_keys::ring::KeyState::Active)
        .expect("an active key");
    ring.revoke(&active.kid).await.expect("revoked");
    assert_eq!(installed.denied().await, [format!("kid {}", active.kid)]);
    let again = installed.manage.keys().await.expect("opened").list();
    let revoked = again.iter().find(|key| key.kid == active.kid).expect("kept for the record");
    assert_eq!(revoked.state, haetae_keys::ring::KeyState::Revoked);
    let error = ring.revoke("nobody").await.expect_err("refused").to_string();
    assert_eq!(error, "no signing key nobody");
    assert_eq!(installed.trail().await, ["key.revoked"]);
}

#[tokio::test]
async fn without_redis_reading_works_and_shutting_is_refused_before_it_begins() {
    let mut installed = install().await;
    installed.open_account("ann").await;
    installed.server.kill().expect("killed");
    installed.server.wait().expect("gone");
    let manage = Manage::open(&installed.config).await.expect("SQL is enough");
    assert_eq!(manage.accounts().await.expect("listed").len(), 1);
    let error = manage.disable_account("ann").await.expect_err("refused").to_string();
    assert!(error.contains("Redis does not answer"), "{error}");
    assert!(!manage.account("ann").await.expect("there").is_disabled());
}

#[tokio::test]
async fn a_client_gets_another_secret_and_its_tokens_are_refused() {
    let installed = install().await;
    let manage = &installed.manage;
    let [public, service] = public_and_service();
    let registered = manage.import_clients(vec![public, service]).await.expect("registered");
    let first = registered[1].made_secret.as_ref().expect("made").expose_secret();
    let second = manage.reset_client("sync").await.expect("reset");
    let stored = manage.clients.find("sync").await.expect("asked").expect("there");
    assert!(stored.has_secret(second.expose_secret()) && !stored.has_secret(first));
    assert_eq!(installed.denied().await, ["client_id sync"]);
    for (id, why) in [
        ("app", "app is a public client: it has no secret"),
        ("nobody", "there is no client nobody"),
        (
            "haetae-gateway",
            "the secret of haetae-gateway is the setting gateway.browser.client_secret: change it there, then start \
             the authservers and the gateways again",
        ),
    ] {
        assert_eq!(manage.reset_client(id).await.expect_err("refused").to_string(), why);
    }
}
