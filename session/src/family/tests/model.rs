//! Any sequence of uses, waits and revocations does what fifty lines of plain Rust say.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    /// Presents the nth token that was ever issued, modulo how many there are.
    Rotate {
        token: usize,
        stranger: bool,
        greedy: bool,
    },
    /// Presents the newest.
    Newest,
    Wait {
        millis: u64,
    },
    Revoke {
        token: usize,
    },
    EndSession,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (any::<prop::sample::Index>(), prop::bool::weighted(0.1), prop::bool::weighted(0.1))
            .prop_map(|(token, stranger, greedy)| Step::Rotate { token: token.index(1000), stranger, greedy }),
        8 => Just(Step::Newest),
        6 => prop_oneof![0..4_000_u64, 8_000..12_000_u64, 990_000..1_010_000_u64]
            .prop_map(|millis| Step::Wait { millis }),
        1 => any::<prop::sample::Index>().prop_map(|token| Step::Revoke { token: token.index(1000) }),
        1 => Just(Step::EndSession),
    ]
}

#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// The token with this number; whether it is new.
    Token {
        number: usize,
        replayed: bool,
    },
    Unknown,
    Expired,
    Reused {
        first: bool,
    },
    WrongClient,
    Scope,
}

/// What a family is, said plainly. Token `n` is spent for token `n + 1`.
struct Model {
    now: Timestamp,
    /// When each token was spent; the last is current.
    spent: Vec<Option<Timestamp>>,
    idle_end: Timestamp,
    dead: bool,
}

impl Model {
    fn new() -> Self {
        Self { now: START, spent: vec![None], idle_end: START.plus(POLICY.idle), dead: false }
    }

    fn rotate(&mut self, token: usize, stranger: bool, greedy: bool) -> Outcome {
        if stranger {
            return Outcome::WrongClient;
        }
        let good = self.spent[token].is_none_or(|at| self.now.since(at) < POLICY.grace);
        if self.dead {
            return if good { Outcome::Unknown } else { Outcome::Reused { first: false } };
        }
        if self.now >= self.idle_end || self.now >= START.plus(POLICY.absolute) {
            return Outcome::Expired;
        }
        if !good {
            self.dead = true;
            return Outcome::Reused { first: true };
        }
        if greedy {
            return Outcome::Scope;
        }
        let replayed = self.spent[token].is_some();
        if !replayed {
            self.spent[token] = Some(self.now);
            self.spent.push(None);
            self.idle_end = self.now.plus(POLICY.idle);
        }
        Outcome::Token { number: token + 1, replayed }
    }
}

async fn follow(store: &FamilyStore, steps: Vec<Step>) -> Result<(), TestCaseError> {
    let mut model = Model::new();
    // A session of its own, since all cases share one Redis.
    let sid = SessionId::new(START);
    let grant = FamilyGrant { sid: Some(sid), ..grant() };
    let mut tokens = vec![store.start(&grant, START).await.expect("starts")];
    for step in steps {
        let (token, stranger, greedy) = match step {
            Step::Newest => (tokens.len() - 1, false, false),
            Step::Rotate { token, stranger, greedy } => (token % tokens.len(), stranger, greedy),
            Step::Wait { millis } => {
                model.now = model.now.plus(Duration::from_millis(millis));
                continue;
            }
            Step::Revoke { token } => {
                let token = &tokens[token % tokens.len()];
                let revoked =
                    store.revoke(token.expose_secret(), "shop", model.now).await.expect("answers");
                prop_assert_eq!(revoked.is_some(), !model.dead);
                model.dead = true;
                continue;
            }
            Step::EndSession => {
                let ended =
                    store.revoke_sid(sid, Offline::Spare, model.now).await.expect("answers");
                // What is past its absolute end is no longer in the index.
                let listed = model.now < START.plus(POLICY.absolute);
                prop_assert_eq!(ended.len(), usize::from(!model.dead && listed));
                model.dead |= listed;
                continue;
            }
        };
        let expected = model.rotate(token, stranger, greedy);
        let client = if stranger { "other" } else { "shop" };
        let more = scope("openid inventory:write");
        let asked = greedy.then_some(&more);
        let got = store.rotate(tokens[token].expose_secret(), client, asked, model.now).await;
        let got = match got {
            Ok(rotated) => {
                let known = tokens.iter().position(|known| same(known, &rotated.refresh_token));
                if known.is_none() {
                    tokens.push(rotated.refresh_token);
                }
                let number = known.unwrap_or(tokens.len() - 1);
                Outcome::Token { number, replayed: rotated.replayed }
            }
            Err(RotateError::Unknown) => Outcome::Unknown,
            Err(RotateError::Expired) => Outcome::Expired,
            Err(RotateError::Reused { first, .. }) => Outcome::Reused { first },
            Err(RotateError::WrongClient) => Outcome::WrongClient,
            Err(RotateError::Scope) => Outcome::Scope,
            Err(RotateError::Store(error)) => panic!("{error}"),
        };
        prop_assert_eq!(got, expected, "token {} at {}", token, model.now);
    }
    Ok(())
}

#[test]
fn any_sequence_does_what_the_model_says() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runs");
    let (_redis, store) = runtime.block_on(store());
    proptest!(ProptestConfig::with_cases(256), |(steps in prop::collection::vec(step(), 1..60))| {
        runtime.block_on(follow(&store, steps))?;
    });
}
