//! Answers signalling's questions about who is asking, from the database: calls never wait for it.
//!
//! It also watches what it has let in: when tokens of a user are revoked, signalling is told, so that registrations by
//! them end.

use crate::signalling::Command;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, mpsc};
use tracing::{debug, warn};
use trunkline_api::State;
use trunkline_api::token::{self, TokenRefused};
use trunkline_call::{Finding, Granted, Input, Question, QuestionId};
use trunkline_identity::{Scope, UserId};
use trunkline_model::UserAddress;
use trunkline_sip::auth::Secret;
use trunkline_storage::users::{self, DigestSecret};
use trunkline_storage::{Error, Topic, identities, resources};

/// Questions that wait. Signalling has a limit of its own, which is the same.
const QUESTIONS_MAX: usize = 10_000;

/// Questions that are looked into at once: each takes a read connection of the pool for a moment.
const AT_ONCE: usize = 32;

/// How long an answer may take; beyond that nobody can say.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// Between two looks at what was revoked: a burst of revocations makes one of them.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// What signalling asks by.
pub(crate) type Questions = mpsc::Sender<(QuestionId, Question)>;

/// Users whose tokens were found good.
type LetIn = Arc<Mutex<HashMap<UserId, Tokens>>>;

/// What is known of the tokens of a user that were found good. Times are in seconds of the Unix epoch.
#[derive(Debug, Clone, Copy)]
struct Tokens {
    /// When the first of them was issued: what was revoked before that concerns none.
    issued: i64,
    /// When the last of them ends.
    expires: i64,
    /// What signalling was told last.
    told: Option<i64>,
}

/// Where questions go in and answers come out.
pub(crate) struct Wires {
    pub(crate) questions: mpsc::Receiver<(QuestionId, Question)>,
    pub(crate) answers: mpsc::Sender<Input>,
}

/// Returns the two ends: what signalling keeps, and what [`start`] takes.
pub(crate) fn wires() -> ((Questions, mpsc::Receiver<Input>), Wires) {
    let (ask, questions) = mpsc::channel(QUESTIONS_MAX);
    let (answers, answered) = mpsc::channel(QUESTIONS_MAX);
    ((ask, answered), Wires { questions, answers })
}

/// Answers until signalling has ended.
pub(crate) fn start(state: State, wires: Wires, commands: mpsc::Sender<Command>) {
    let let_in = LetIn::default();
    tokio::spawn(answer_all(state.clone(), wires, Arc::clone(&let_in)));
    tokio::spawn(watch(state, let_in, commands));
}

async fn answer_all(state: State, mut wires: Wires, let_in: LetIn) {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    while let Some((id, question)) = wires.questions.recv().await {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let (state, answers, let_in) = (state.clone(), wires.answers.clone(), Arc::clone(&let_in));
        tokio::spawn(async move {
            let found = tokio::time::timeout(ANSWER_MAX, find(&state, question, &let_in)).await;
            let finding = found.unwrap_or(Finding::Unavailable);
            drop(place);
            // When signalling has ended nobody needs to know.
            let _ = answers.send(Input::Authenticated { id, finding }).await;
        });
    }
}

async fn find(state: &State, question: Question, let_in: &LetIn) -> Finding {
    match question {
        Question::Token(token) => find_token(state, &token, let_in).await,
        Question::Secrets(user) => find_secrets(state, &user, let_in).await.unwrap_or_else(|error| {
            warn!(%error, "the digest secrets of a user cannot be read");
            Finding::Unavailable
        }),
    }
}

async fn find_token(state: &State, token: &str, let_in: &LetIn) -> Finding {
    let claims = match token::verify(state, token).await {
        Ok(claims) => claims,
        Err(TokenRefused::Store(error)) => {
            warn!(%error, "a token cannot be checked");
            return Finding::Unavailable;
        }
        Err(refused) => {
            debug!(%refused, "a token was refused");
            return Finding::Invalid;
        }
    };
    if !claims.scopes.contains(&Scope::Voip) {
        return Finding::InsufficientScope;
    }
    match granted(state, claims.user, (claims.issued, claims.expires), let_in) {
        Some(granted) => Finding::Good(granted),
        None => Finding::Invalid,
    }
}

async fn find_secrets(state: &State, user: &UserAddress, let_in: &LetIn) -> Result<Finding, Error> {
    let Ok(id) = user.as_str().parse::<UserId>() else { return Ok(Finding::Invalid) };
    let now = state.now_unix_ms().div_euclid(1000);
    let mut db = state.store.read().await?;
    let resource = resources::by_id(&mut db, id.resource.0).await?;
    if resource.is_none_or(|resource| resource.suspended_unix_ms.is_some()) {
        return Ok(Finding::Secrets(Vec::new()));
    }
    let kept = users::secrets(&mut db, id.resource.0, id.user, now).await?;
    let secret = |kept: &DigestSecret| {
        let md5 = kept.md5.as_slice().try_into().ok()?;
        let sha256 = kept.sha256.as_slice().try_into().ok()?;
        let granted = granted(state, id, (kept.issued_unix_s, kept.expires_unix_s), let_in)?;
        Some((Secret { md5, sha256 }, granted))
    };
    Ok(Finding::Secrets(kept.iter().filter_map(secret).collect()))
}

/// Returns what a token grants, and takes note of whose it is.
fn granted(state: &State, user: UserId, (issued, expires): (i64, i64), let_in: &LetIn) -> Option<Granted> {
    let left_ms = expires.saturating_mul(1000).saturating_sub(state.now_unix_ms());
    let left = Duration::from_millis(u64::try_from(left_ms).ok()?);
    let address = user.to_string().parse().ok()?;
    let mut let_in = let_in.lock().unwrap_or_else(PoisonError::into_inner);
    let tokens = let_in.entry(user).or_insert(Tokens { issued, expires, told: None });
    (tokens.issued, tokens.expires) = (tokens.issued.min(issued), tokens.expires.max(expires));
    Some(Granted { user: address, issued, until: Instant::now() + left })
}

/// Tells signalling of tokens that were revoked, until it has ended.
async fn watch(state: State, let_in: LetIn, commands: mpsc::Sender<Command>) {
    let mut changes = state.store.subscribe(Topic::Resources);
    loop {
        tokio::select! {
            () = commands.closed() => return,
            () = changes.changed() => {}
        }
        let now = state.now_unix_ms().div_euclid(1000);
        let users: Vec<UserId> = {
            let mut let_in = let_in.lock().unwrap_or_else(PoisonError::into_inner);
            let_in.retain(|_, tokens| tokens.expires > now);
            let_in.keys().copied().collect()
        };
        match look(&state, &users, &let_in, &commands).await {
            Ok(()) => {}
            Err(error) => {
                warn!(%error, "what was revoked cannot be read; it is tried again");
                changes.again();
            }
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn look(
    state: &State,
    users: &[UserId],
    let_in: &LetIn,
    commands: &mpsc::Sender<Command>,
) -> Result<(), Error> {
    let mut db = state.store.read().await?;
    for user in users {
        let resource = resources::by_id(&mut db, user.resource.0).await?;
        let acts = resource.is_some_and(|resource| resource.suspended_unix_ms.is_none());
        let valid_from = identities::tokens_valid_from(&mut db, user.resource.0, user.user).await?;
        let issued_before = match valid_from.filter(|_| acts) {
            // Revocations take effect at a full second.
            Some(valid_from) => valid_from.saturating_add(999).div_euclid(1000),
            None => i64::MAX,
        };
        if !is_news(let_in, user, issued_before) {
            continue;
        }
        let Ok(user) = user.to_string().parse() else { continue };
        // When signalling has ended nobody needs to know.
        let _ = commands.send(Command::Revoke { user, issued_before }).await;
    }
    Ok(())
}

/// Whether a revocation concerns a token that was found good, and signalling has not been told of it.
fn is_news(let_in: &LetIn, user: &UserId, issued_before: i64) -> bool {
    let mut let_in = let_in.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(tokens) = let_in.get_mut(user) else { return false };
    let news = issued_before > tokens.issued && tokens.told.is_none_or(|told| told < issued_before);
    if news {
        tokens.told = Some(issued_before);
    }
    news
}

#[cfg(test)]
mod tests {
    use super::*;
    use trunkline_identity::ResourceId;

    #[test]
    fn a_revocation_is_told_once_and_only_where_it_concerns_a_token() {
        let guid = "11111111-2222-4333-8444-555555555555".parse().unwrap();
        let user = UserId { resource: ResourceId(guid), user: guid };
        let let_in = LetIn::default();
        assert!(!is_news(&let_in, &user, i64::MAX), "nobody was let in");
        let tokens = Tokens { issued: 1000, expires: 5000, told: None };
        let_in.lock().unwrap().insert(user, tokens);
        assert!(!is_news(&let_in, &user, 1000));
        assert!(is_news(&let_in, &user, 1001));
        assert!(!is_news(&let_in, &user, 1001));
        assert!(is_news(&let_in, &user, 2000), "it may have got another token since");
    }
}
