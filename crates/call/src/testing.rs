//! Values that unit tests of several modules start from.

use std::time::Duration;
use trunkline_model::{
    Gateway, Host, MediaPolicy, Reliability, SessionTimerPolicy, Transport, Trunk, TrunkId, TrunkMatch,
};

pub(crate) fn gateway(ip: &str) -> Gateway {
    Gateway {
        host: Host::Ip(ip.parse().unwrap()),
        port: Some(5060),
        transport: Transport::Udp,
        priority: 1,
        weight: 1,
    }
}

pub(crate) fn trunk(name: &str, sources: &[&str], gateways: Vec<Gateway>) -> Trunk {
    Trunk {
        id: TrunkId::parse(name).unwrap(),
        inbound: TrunkMatch {
            sources: sources.iter().map(|net| net.parse().unwrap()).collect(),
            transports: vec![],
        },
        gateways,
        calls_max: None,
        calls_per_sec_max: None,
        advertised: None,
        advertised_port: None,
        domain: None,
        media: MediaPolicy::default(),
        failover_statuses: [].into(),
        health: None,
        reliability: Reliability::default(),
        session_timer: SessionTimerPolicy::default(),
        ring_max: Duration::from_secs(120),
        trusted_identity: false,
        follow_source: true,
    }
}
