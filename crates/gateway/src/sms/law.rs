//! What is to be minded whichever message comes: opt-outs, registrations, who is who.

use super::accounts::Directory;
use crate::config::{Sms, SmsReceipts, SmsRegistration, SmsSenders};
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;
use trunkline_model::{E164, TrunkId};
use trunkline_sms::gate::{Campaign, Standing};
use trunkline_sms::party::Sender;
use trunkline_storage::opt_outs::Scope;

/// The parts of the configuration that units of work and decisions ask.
#[derive(Debug)]
pub(super) struct Law {
    /// Which opt-outs stop a message.
    pub(super) scope: Scope,
    /// Which receipts each carrier sends.
    pub(super) receipts: BTreeMap<TrunkId, SmsReceipts>,
    /// Who may send what.
    pub(super) senders: SmsSenders,
    /// How long answers of ours are worth sending.
    pub(super) validity: Duration,
    /// How much longer a report is waited for.
    pub(super) report_grace: Duration,
    /// Which accounts of customers get the texts of a resource.
    pub(super) accounts: Directory,
    /// Campaigns by number: their place in the configuration.
    campaigns: HashMap<E164, usize>,
}

/// What a sender's brand may send in a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BrandLimit<'a> {
    /// The brand.
    pub(super) brand: &'a str,
    /// Segments.
    pub(super) daily_max: u32,
}

impl Law {
    pub(super) fn new(config: &Sms) -> Self {
        let campaigns = config.senders.campaigns.iter().enumerate();
        let campaigns =
            campaigns.flat_map(|(at, campaign)| campaign.numbers.iter().map(move |number| (*number, at)));
        Self {
            scope: config.opt_out_scope,
            receipts: config.carriers.iter().map(|carrier| (carrier.id.clone(), carrier.receipts)).collect(),
            senders: config.senders.clone(),
            validity: config.validity,
            report_grace: config.report_grace,
            accounts: Directory::new(&config.server.accounts),
            campaigns: campaigns.collect(),
        }
    }

    /// Returns what a sender is registered for.
    pub(super) fn standing(&self, sender: &Sender) -> Standing {
        let mut standing = Standing { campaign: self.campaign(sender), ..Standing::default() };
        match self.senders.registration {
            SmsRegistration::Assumed => standing.assumed = true,
            SmsRegistration::Required => match sender {
                Sender::Number(number) => {
                    standing.toll_free_verified = self.senders.toll_free_verified.contains(number);
                }
                Sender::ShortCode(code) => {
                    let code = self.senders.short_codes.get(code);
                    standing.short_code_approved = code.is_some_and(|code| code.approved);
                }
                Sender::Name(_) => {}
            },
        }
        standing
    }

    /// Returns what the brand of a sender may send in a day, where that is limited.
    pub(super) fn brand_limit(&self, sender: &Sender) -> Option<BrandLimit<'_>> {
        let campaign = self.campaign_of(sender)?;
        Some(BrandLimit { brand: &campaign.brand, daily_max: campaign.brand_daily_max? })
    }

    fn campaign(&self, sender: &Sender) -> Option<Campaign> {
        self.campaign_of(sender).map(|campaign| Campaign { id: campaign.id.clone(), class: campaign.class })
    }

    fn campaign_of(&self, sender: &Sender) -> Option<&crate::config::SmsCampaign> {
        let Sender::Number(number) = sender else { return None };
        self.campaigns.get(number).and_then(|at| self.senders.campaigns.get(*at))
    }
}
