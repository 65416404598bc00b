//! Texts with names in braces.

use super::describe::InvalidDescription;
use super::send::Outgoing;
use std::collections::BTreeMap;

/// A text with fields of a message to fill in. It has no `Debug`: variables in it may be secret.
#[derive(Clone)]
pub(super) struct Template(Vec<Piece>);

#[derive(Clone)]
enum Piece {
    Literal(String),
    Field(Field),
}

/// A field of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    Id,
    From,
    FromDigits,
    To,
    ToDigits,
    Text,
    Receipts,
    ValiditySecs,
}

impl Field {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "id" => Self::Id,
            "from" => Self::From,
            "from_digits" => Self::FromDigits,
            "to" => Self::To,
            "to_digits" => Self::ToDigits,
            "text" => Self::Text,
            "receipts" => Self::Receipts,
            "validity_secs" => Self::ValiditySecs,
            _ => return None,
        })
    }

    fn of(self, message: &Outgoing<'_>) -> String {
        match self {
            Self::Id => message.id.to_owned(),
            Self::From => message.from.to_string(),
            Self::FromDigits => message.from.address().to_owned(),
            Self::To => message.to.to_string(),
            Self::ToDigits => message.to.digits().to_owned(),
            Self::Text => message.text.to_owned(),
            Self::Receipts => message.receipts.to_string(),
            Self::ValiditySecs => message.validity_left.as_secs().max(1).to_string(),
        }
    }
}

impl Template {
    /// Reads a text; variables are filled in at once.
    pub(super) fn parse(
        text: &str,
        variables: &BTreeMap<String, String>,
    ) -> Result<Self, InvalidDescription> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, behind)) = rest.split_once('{') {
            let Some((name, after)) = behind.split_once('}') else {
                return Err(InvalidDescription::UnpairedBrace(text.to_owned()));
            };
            pieces.push(Piece::Literal(before.to_owned()));
            pieces.push(match (Field::named(name), variables.get(name)) {
                (Some(field), _) => Piece::Field(field),
                (None, Some(value)) => Piece::Literal(value.clone()),
                (None, None) => return Err(InvalidDescription::UnknownName(name.to_owned())),
            });
            rest = after;
        }
        pieces.push(Piece::Literal(rest.to_owned()));
        pieces.retain(|piece| !matches!(piece, Piece::Literal(text) if text.is_empty()));
        Ok(Self(pieces))
    }

    /// Returns the text for a message; `encode` is applied to what is filled in.
    pub(super) fn fill(&self, message: &Outgoing<'_>, encode: impl Fn(String) -> String) -> String {
        let pieces = self.0.iter().map(|piece| match piece {
            Piece::Literal(text) => text.clone(),
            Piece::Field(field) => encode(field.of(message)),
        });
        pieces.collect()
    }

    /// Returns the value for a message: a number or a boolean if the template is one field that is such.
    pub(super) fn value(&self, message: &Outgoing<'_>) -> serde_json::Value {
        match self.0.as_slice() {
            [Piece::Field(Field::Receipts)] => message.receipts.into(),
            [Piece::Field(Field::ValiditySecs)] => message.validity_left.as_secs().max(1).into(),
            _ => self.fill(message, |text| text).into(),
        }
    }
}

/// Fills variables into a text that has nothing else.
pub(super) fn constant(
    text: &str,
    variables: &BTreeMap<String, String>,
) -> Result<String, InvalidDescription> {
    let Template(pieces) = Template::parse(text, variables)?;
    let pieces = pieces.into_iter().map(|piece| match piece {
        Piece::Literal(text) => Ok(text),
        Piece::Field(field) => Err(InvalidDescription::UnknownName(format!("{field:?}"))),
    });
    pieces.collect()
}
