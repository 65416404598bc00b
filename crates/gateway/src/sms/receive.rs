//! Texts that came in: whose they are, and what they ask for.

use super::ended;
use super::law::Law;
use std::collections::HashMap;
use trunkline_model::E164;
use trunkline_sms::opt_out::{Identity, Keyword, Reply, classify, react};
use trunkline_sms::party::{Sender, SenderKind};
use trunkline_storage::messages::inbound::{self, InboundText};
use trunkline_storage::messages::{self, Content, NewMessage, Purpose, Source};
use trunkline_storage::opt_outs::{self, Origin, Pair};
use trunkline_storage::resources::{self, Resource};
use trunkline_storage::{Connection, Error, numbers};

/// What was found in texts.
#[derive(Debug, Default)]
pub(super) struct Received {
    /// Whoever has opted out.
    pub(super) opted_out: Vec<Pair>,
    /// Texts that may be meant as refusal and are no keyword.
    pub(super) possible_optouts: u64,
}

/// Keeps texts, does what their keywords ask for, answers them, and tells the owners of their numbers (rules D.1).
pub(super) async fn keep(
    db: &mut Connection,
    texts: &[InboundText],
    law: &Law,
    now_unix_ms: i64,
) -> Result<Received, Error> {
    let mut owners = HashMap::new();
    let mut owned = Vec::with_capacity(texts.len());
    for text in texts {
        if !owners.contains_key(&text.to) {
            owners.insert(text.to.clone(), owner(db, &text.to, law).await?);
        }
        let owner = owners.get(&text.to).and_then(Option::as_ref);
        owned.push(InboundText { resource: owner.map(|owner| owner.id), ..text.clone() });
    }
    let new = inbound::insert(db, &owned).await?;
    owned.retain(|text| new.contains(&text.id));
    let mut received = Received::default();
    let mut replies = Vec::new();
    for text in &owned {
        if let Some(owner) = owners.get(&text.to).and_then(Option::as_ref) {
            replies.extend(heed(db, text, owner, law, &mut received, now_unix_ms).await?);
        }
    }
    if !replies.is_empty() {
        messages::accept(db, &replies, now_unix_ms).await?;
    }
    ended::publish_received(db, &owned, now_unix_ms).await?;
    law.accounts.tell_texts(db, &owned, now_unix_ms).await?;
    Ok(received)
}

/// Returns whose number a text came to.
async fn owner(db: &mut Connection, to: &str, law: &Law) -> Result<Option<Resource>, Error> {
    if let Ok(number) = E164::parse(to) {
        let owner = numbers::by_e164(db, number).await?.and_then(|number| number.owner);
        return match owner {
            Some(owner) => resources::by_id(db, owner).await,
            None => Ok(None),
        };
    }
    match law.senders.short_codes.get(to) {
        Some(code) => resources::by_name(db, &code.resource).await,
        None => Ok(None),
    }
}

/// Does what a keyword asks for; returns the answer.
async fn heed(
    db: &mut Connection,
    text: &InboundText,
    owner: &Resource,
    law: &Law,
    received: &mut Received,
    now_unix_ms: i64,
) -> Result<Option<NewMessage>, Error> {
    if classify(&text.body) == (Keyword::None { possible_optout: false }) {
        return Ok(None);
    }
    let Ok(recipient) = E164::parse(&text.from) else { return Ok(None) };
    let pair = [Pair { resource: owner.id, sender: text.to.clone(), recipient }];
    let opted_out = opt_outs::check(db, &pair, law.scope).await?.contains(&true);
    let kind = Sender::parse(&text.to).map_or(SenderKind::Local, |sender| sender.kind());
    let reaction = react(&text.body, opted_out, kind);
    match reaction.opted_out {
        Some(true) => {
            opt_outs::add(db, &pair, Origin::Keyword, now_unix_ms).await?;
            received.opted_out.extend(pair);
        }
        Some(false) => {
            opt_outs::remove(db, &pair, law.scope).await?;
        }
        None => {}
    }
    received.possible_optouts += u64::from(reaction.possible_optout);
    Ok(reaction.reply.map(|reply| answer(text, recipient, owner, reply, law, now_unix_ms)))
}

fn answer(
    text: &InboundText,
    to: E164,
    owner: &Resource,
    reply: Reply,
    law: &Law,
    now_unix_ms: i64,
) -> NewMessage {
    let identity = law.senders.identities.get(&owner.name);
    let identity = Identity {
        name: identity.map_or_else(|| owner.name.clone(), |identity| identity.name.clone()),
        contact: identity.map_or_else(|| text.to.clone(), |identity| identity.contact.clone()),
    };
    let ms = |duration: std::time::Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
    let expires_unix_ms = now_unix_ms.saturating_add(ms(law.validity));
    NewMessage {
        resource: owner.id,
        source: Source::Gateway,
        from: text.to.clone(),
        to,
        content: Content::Text(reply.text(&identity)),
        purpose: Purpose::Reply,
        wants_report: false,
        tag: None,
        request: None,
        expires_unix_ms,
        report_by_unix_ms: expires_unix_ms.saturating_add(ms(law.report_grace)),
    }
}

/// Returns an address as numbers are written here: with `+` where it is one.
pub(super) fn address(text: &str) -> String {
    let bare: String = text.chars().filter(|c| !matches!(c, ' ' | '-' | '(' | ')' | '.')).collect();
    let digits = bare.strip_prefix('+').unwrap_or(&bare);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return text.to_owned();
    }
    // Some carriers write numbers of the North American plan without their country code.
    let national = !bare.starts_with('+') && digits.len() == 10 && !digits.starts_with(['0', '1']);
    let full = if national { format!("+1{digits}") } else { format!("+{digits}") };
    // Short codes have five or six digits.
    let short = !bare.starts_with('+') && digits.len() <= 8;
    match E164::parse(&full) {
        Ok(number) if !short => number.to_string(),
        Ok(_) | Err(_) => bare,
    }
}

#[cfg(test)]
mod tests {
    use super::address;

    #[test]
    fn carriers_write_numbers_in_many_ways() {
        for (written, expected) in [
            ("+14255550100", "+14255550100"),
            ("14255550100", "+14255550100"),
            ("4255550100", "+14255550100"),
            ("(425) 555-0100", "+14255550100"),
            ("12345", "12345"),
            ("123456", "123456"),
            ("ACME", "ACME"),
            ("", ""),
        ] {
            assert_eq!(address(written), expected, "{written}");
        }
    }
}
