//! What senders are registered for (rules D.3), and who they say they are.

use super::super::reader::Section;
use super::word;
use std::collections::{BTreeMap, BTreeSet};
use trunkline_model::E164;
use trunkline_sms::gate::CampaignClass;

/// Who may send what.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Senders {
    /// Whether registrations are asked for.
    pub registration: Registration,
    /// Toll-free numbers whose verification is approved.
    pub toll_free_verified: BTreeSet<E164>,
    /// 10DLC campaigns that are approved.
    pub campaigns: Vec<Campaign>,
    /// Short codes by their digits.
    pub short_codes: BTreeMap<String, ShortCode>,
    /// Who resources say they are in answers to keywords, by name.
    pub identities: BTreeMap<String, Identity>,
}

/// Whether registrations are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Registration {
    /// Numbers and short codes must be registered.
    #[default]
    Required,
    /// All are taken to be: for the sandbox and for carriers that see to it themselves.
    Assumed,
}

/// An approved 10DLC campaign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Campaign {
    /// Its name at the registry.
    pub id: String,
    /// Its message class.
    pub class: CampaignClass,
    /// The brand that it belongs to.
    pub brand: String,
    /// Segments that the brand may send on one day; none for no limit by day.
    pub brand_daily_max: Option<u32>,
    /// The numbers that are attached to it.
    pub numbers: BTreeSet<E164>,
}

/// A short code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShortCode {
    /// The resource it is for, by name.
    pub resource: String,
    /// Whether its programme is approved.
    pub approved: bool,
}

/// Who a resource says it is in answers to STOP and HELP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Name of the programme or business.
    pub name: String,
    /// Where help is to be had.
    pub contact: String,
}

pub(super) fn senders(section: &mut Section<'_, '_>) -> Senders {
    let registration = word(
        section,
        "registration",
        ("required", Registration::Required),
        &[("assumed", Registration::Assumed)],
    );
    let campaigns: Vec<Campaign> = section.sections("campaign").into_iter().filter_map(campaign).collect();
    let numbers = campaigns.iter().flat_map(|campaign| &campaign.numbers);
    if numbers.clone().collect::<BTreeSet<_>>().len() != numbers.count() {
        section.problem("campaign", "a number is attached to two campaigns");
    }
    Senders {
        registration,
        toll_free_verified: section.list("toll_free_verified").unwrap_or_default().into_iter().collect(),
        campaigns,
        short_codes: section.sections("short_code").into_iter().filter_map(short_code).collect(),
        identities: section.sections("identity").into_iter().filter_map(identity).collect(),
    }
}

fn campaign(mut section: Section<'_, '_>) -> Option<Campaign> {
    let id = section.required::<String>("id");
    let class = word(
        &mut section,
        "class",
        ("T", CampaignClass::T),
        &[
            ("A", CampaignClass::A),
            ("B", CampaignClass::B),
            ("C", CampaignClass::C),
            ("D", CampaignClass::D),
            ("E", CampaignClass::E),
            ("F", CampaignClass::F),
        ],
    );
    let brand = section.value::<String>("brand").unwrap_or_default();
    let brand_daily_max = section.value::<u32>("brand_daily_max").filter(|max| *max > 0);
    if brand_daily_max.is_some() && brand.is_empty() {
        section.problem("brand_daily_max", "needs brand beside it");
    }
    let numbers = section.list("numbers").unwrap_or_default().into_iter().collect();
    section.close();
    Some(Campaign { id: id?, class, brand, brand_daily_max, numbers })
}

fn short_code(mut section: Section<'_, '_>) -> Option<(String, ShortCode)> {
    let code = section.required::<String>("code");
    if code
        .as_ref()
        .is_some_and(|code| !(5..=6).contains(&code.len()) || !code.bytes().all(|b| b.is_ascii_digit()))
    {
        section.problem("code", "is five or six digits");
    }
    let resource = section.required::<String>("resource");
    let approved = section.value("approved").unwrap_or(false);
    section.close();
    Some((code?, ShortCode { resource: resource?, approved }))
}

fn identity(mut section: Section<'_, '_>) -> Option<(String, Identity)> {
    let resource = section.required::<String>("resource");
    let name = section.required::<String>("name");
    let contact = section.required::<String>("contact");
    section.close();
    Some((resource?, Identity { name: name?, contact: contact? }))
}
