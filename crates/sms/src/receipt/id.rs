//! The carrier's message ids, which a receipt may write otherwise than the submit response did.

use std::fmt;

/// A carrier's id in one spelling: upper case, without blanks, quotes, `0x` and leading zeros.
///
/// It is what a store should index, with [`candidates`](Self::candidates) of a receipt's id for the look-up.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CarrierId(Box<str>);

/// Longest id: message_id has 65 octets with its NUL (SMPP 3.4 §5.2.23).
const ID_MAX: usize = 64;

impl CarrierId {
    /// Returns the id, or none if nothing is left of the text or too much of it.
    pub fn parse(text: &str) -> Option<Self> {
        let bare = text.trim_matches(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '\0'));
        let upper = bare.to_ascii_uppercase();
        let upper = upper.strip_prefix("0X").unwrap_or(&upper);
        if upper.is_empty() || upper.len() > ID_MAX {
            return None;
        }
        let significant = upper.trim_start_matches('0');
        Some(Self(if significant.is_empty() { "0" } else { significant }.into()))
    }

    /// Returns the id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the ids that a submit response may have given to the message whose receipt has this id.
    pub fn candidates(&self) -> Vec<(Form, Self)> {
        Form::ALL.into_iter().filter_map(|form| self.candidate(form).map(|id| (form, id))).collect()
    }

    /// Returns the id that the submit response gave, if receipts are of this form; none if this one cannot be.
    pub fn candidate(&self, form: Form) -> Option<Self> {
        match form {
            Form::AsIs => Some(self.clone()),
            Form::ResponseHex => {
                let number: u128 = self.digits(10)?;
                Some(Self(format!("{number:X}").into()))
            }
            Form::ResponseDecimal => {
                let number: u128 = self.digits(16)?;
                Some(Self(number.to_string().into()))
            }
            Form::Prefixed => self.bare(),
            Form::ResponsePrefixed => Some(self.clone()),
        }
    }

    /// Returns what stands behind the last separator, if there is one: a store that wants to match responses whose id
    /// has a prefix that receipts leave out indexes this too, and looks for [`Form::ResponsePrefixed`] in it alone.
    pub fn bare(&self) -> Option<Self> {
        let (_, bare) = self.0.rsplit_once(|c: char| !c.is_ascii_alphanumeric())?;
        Self::parse(bare)
    }

    fn digits(&self, radix: u32) -> Option<u128> {
        // from_str_radix takes a sign.
        let plain = self.0.chars().all(|c| c.is_digit(radix));
        if plain { u128::from_str_radix(&self.0, radix).ok() } else { None }
    }
}

impl fmt::Display for CarrierId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How the id of a receipt relates to that of the submit response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Form {
    /// The same, but for case, quotes and leading zeros.
    AsIs,
    /// The response is hexadecimal, the receipt decimal.
    ResponseHex,
    /// The response is decimal, the receipt hexadecimal.
    ResponseDecimal,
    /// The receipt puts something and a separator in front.
    Prefixed,
    /// The response does; see [`CarrierId::bare`].
    ResponsePrefixed,
}

impl Form {
    /// Every form.
    pub const ALL: [Self; 5] =
        [Self::AsIs, Self::ResponseHex, Self::ResponseDecimal, Self::Prefixed, Self::ResponsePrefixed];
}

/// What a trunk's ids look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum IdPolicy {
    /// To be learned.
    #[default]
    Auto,
    /// Known to its operator.
    Fixed(Form),
}

/// What has been learned about a trunk's ids.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Dialect {
    policy: IdPolicy,
    learned: Option<Form>,
    /// The form that the last telling receipts had, and how many there were in a row.
    streak: Option<(Form, u8)>,
}

/// Receipts in a row that settle the form: one is proof enough unless a receipt was not ours, so take two.
const STREAK_LEARNED: u8 = 2;

/// Receipts in a row that unsettle what was learned: the carrier changed its software.
const STREAK_UNLEARNED: u8 = 3;

impl Dialect {
    /// Returns a dialect of which nothing is known but the policy.
    pub fn new(policy: IdPolicy) -> Self {
        Self { policy, learned: None, streak: None }
    }

    /// Returns the form, if it is known.
    pub fn form(&self) -> Option<Form> {
        match self.policy {
            IdPolicy::Fixed(form) => Some(form),
            IdPolicy::Auto => self.learned,
        }
    }

    /// Takes in that a receipt could be matched in this form and no other. Returns whether the known form changed.
    pub fn observe(&mut self, form: Form) -> bool {
        let count = match self.streak {
            Some((same, count)) if same == form => count.saturating_add(1),
            Some(_) | None => 1,
        };
        self.streak = Some((form, count));
        let needed = if self.learned.is_some() { STREAK_UNLEARNED } else { STREAK_LEARNED };
        let changes = self.policy == IdPolicy::Auto && self.learned != Some(form) && count >= needed;
        if changes {
            self.learned = Some(form);
        }
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> CarrierId {
        CarrierId::parse(text).unwrap()
    }

    #[test]
    fn spellings_of_one_id_are_equal() {
        for text in ["1AB", "1ab", "0001ab", "\"1AB\"", " 1aB ", "0x1ab", "'01ab'\0"] {
            assert_eq!(id(text), id("1ab"), "{text}");
        }
        assert_eq!(id("0000").as_str(), "0");
        for text in ["", " ", "\"\"", "0x", &"1".repeat(65)] {
            assert_eq!(CarrierId::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_receipt_id_leads_to_every_id_that_a_response_may_have_had() {
        let others = |text| {
            let mut candidates = id(text).candidates();
            candidates.retain(|(form, same)| {
                let unchanged = matches!(form, Form::AsIs | Form::ResponsePrefixed);
                assert!(!unchanged || *same == id(text));
                !unchanged
            });
            candidates
        };
        assert_eq!(others("26"), [(Form::ResponseHex, id("1A")), (Form::ResponseDecimal, id("38"))]);
        assert_eq!(others("1a"), [(Form::ResponseDecimal, id("26"))]);
        assert_eq!(others("smsc1-0026"), [(Form::Prefixed, id("26"))]);
        assert_eq!(others(&"9".repeat(64)), []);
    }

    #[test]
    fn two_telling_receipts_teach_and_three_others_teach_anew() {
        let mut dialect = Dialect::new(IdPolicy::Auto);
        assert!(!dialect.observe(Form::ResponseHex));
        assert!(!dialect.observe(Form::AsIs));
        assert!(!dialect.observe(Form::ResponseHex));
        assert!(dialect.observe(Form::ResponseHex));
        assert_eq!(dialect.form(), Some(Form::ResponseHex));
        assert!(!dialect.observe(Form::AsIs));
        assert!(!dialect.observe(Form::AsIs));
        assert!(dialect.observe(Form::AsIs));
        assert_eq!(dialect.form(), Some(Form::AsIs));
    }

    #[test]
    fn a_fixed_form_is_not_unlearned() {
        let mut dialect = Dialect::new(IdPolicy::Fixed(Form::AsIs));
        for _ in 0..10 {
            assert!(!dialect.observe(Form::ResponseHex));
        }
        assert_eq!(dialect.form(), Some(Form::AsIs));
    }
}
