//! What a sender must have before its first text (rules D.3).

use std::fmt;
use std::time::Duration;

use crate::bucket::Rate;
use crate::party::SenderKind;

/// How far a sender has come with its registration.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Standing {
    /// The approved 10DLC campaign that the number is attached to.
    pub campaign: Option<Campaign>,
    /// Whether the toll-free verification is approved.
    pub toll_free_verified: bool,
    /// Whether the programme of the short code is approved.
    pub short_code_approved: bool,
    /// Whether registrations, and the rates that come with them, are somebody else's business.
    pub assumed: bool,
}

/// A 10DLC campaign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Campaign {
    /// Its name at the registry.
    pub id: String,
    /// Its message class.
    pub class: CampaignClass,
}

/// AT&T's message classes, which set a campaign's rate there; Verizon is held to the same (rules D.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names are AT&T's")]
pub enum CampaignClass {
    A,
    B,
    C,
    D,
    E,
    F,
    /// Low volume.
    T,
}

impl CampaignClass {
    /// Returns how many segments a minute the campaign may send.
    pub fn rate(self) -> Rate {
        let segments = match self {
            Self::A | Self::B => 4_500,
            Self::C | Self::D => 2_400,
            Self::E | Self::F => 240,
            Self::T => 75,
        };
        per_minute(segments)
    }
}

/// Returns the rate of a number of this kind by itself; none where only campaigns and trunks limit it.
pub fn number_rate(kind: SenderKind) -> Option<Rate> {
    match kind {
        SenderKind::TollFree => Some(per_minute(200)),
        SenderKind::ShortCode => Some(per_minute(6_000)),
        SenderKind::Local | SenderKind::International | SenderKind::Name => None,
    }
}

/// A minute's worth with a burst of one second's, so that traffic is smooth.
fn per_minute(segments: u32) -> Rate {
    Rate { segments, per: Duration::from_secs(60), burst: segments.div_ceil(60) }
}

/// Why a sender may not send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Closed {
    /// A local number without an approved campaign.
    NoCampaign,
    /// A toll-free number without an approved verification: blocked to the US and Canada since 2024-01-31.
    TollFreeUnverified,
    /// A short code without an approved programme.
    ShortCodeUnapproved,
    /// A name or a foreign number, towards a country where numbers must be domestic.
    NotDomestic,
}

impl Closed {
    /// Returns the code that delivery reports carry in `deliveryStatusDetails`.
    pub fn report_code(self) -> u16 {
        match self {
            Self::NoCampaign | Self::ShortCodeUnapproved => 4009,
            Self::TollFreeUnverified => 4010,
            Self::NotDomestic => 4003,
        }
    }
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoCampaign => "the local number is attached to no approved campaign",
            Self::TollFreeUnverified => "the toll-free number is not verified",
            Self::ShortCodeUnapproved => "the short code's programme is not approved",
            Self::NotDomestic => "the destination takes texts from its own numbers alone",
        })
    }
}

/// Decides whether a sender may send to a destination; `domestic` says whether that is in the US or Canada.
///
/// # Errors
/// [`Closed`]: why not.
pub fn check(kind: SenderKind, standing: &Standing, domestic: bool) -> Result<(), Closed> {
    let open = match kind {
        SenderKind::Local | SenderKind::TollFree | SenderKind::ShortCode if standing.assumed => true,
        SenderKind::ShortCode => standing.short_code_approved,
        _ if !domestic => true,
        SenderKind::Local => standing.campaign.is_some(),
        SenderKind::TollFree => standing.toll_free_verified,
        SenderKind::International | SenderKind::Name => false,
    };
    match kind {
        _ if open => Ok(()),
        SenderKind::Local => Err(Closed::NoCampaign),
        SenderKind::TollFree => Err(Closed::TollFreeUnverified),
        SenderKind::ShortCode => Err(Closed::ShortCodeUnapproved),
        SenderKind::International | SenderKind::Name => Err(Closed::NotDomestic),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gates_open_with_what_each_kind_needs() {
        let none = Standing::default();
        let all = Standing {
            campaign: Some(Campaign { id: "C1".into(), class: CampaignClass::T }),
            toll_free_verified: true,
            short_code_approved: true,
            assumed: false,
        };
        let assumed = Standing { assumed: true, ..Standing::default() };
        for (kind, closed) in [
            (SenderKind::Local, Closed::NoCampaign),
            (SenderKind::TollFree, Closed::TollFreeUnverified),
            (SenderKind::ShortCode, Closed::ShortCodeUnapproved),
        ] {
            assert_eq!(check(kind, &none, true), Err(closed));
            assert_eq!(check(kind, &all, true), Ok(()));
            assert_eq!(check(kind, &assumed, true), Ok(()));
        }
        assert_eq!(check(SenderKind::Name, &assumed, true), Err(Closed::NotDomestic));
        assert_eq!(check(SenderKind::Name, &all, true), Err(Closed::NotDomestic));
        assert_eq!(check(SenderKind::Name, &none, false), Ok(()));
        assert_eq!(check(SenderKind::Local, &none, false), Ok(()));
        assert_eq!(check(SenderKind::ShortCode, &none, false), Err(Closed::ShortCodeUnapproved));
    }

    #[test]
    fn rates_are_those_of_rule_d_3() {
        assert_eq!(CampaignClass::A.rate().segments, 4_500);
        assert_eq!(CampaignClass::D.rate().segments, 2_400);
        assert_eq!(CampaignClass::F.rate().segments, 240);
        assert_eq!(CampaignClass::T.rate(), Rate { segments: 75, per: Duration::from_secs(60), burst: 2 });
        assert_eq!(number_rate(SenderKind::TollFree).unwrap().segments, 200);
    }
}
