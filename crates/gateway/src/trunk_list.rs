//! `trunkline trunk list`: the trunks of a configuration file, as a table.

use crate::config::Config;
use std::fmt::Write;

/// Returns the trunks as text, one a paragraph.
pub fn trunk_list(config: &Config) -> String {
    let mut text = String::new();
    let join = |items: Vec<String>| if items.is_empty() { "none".to_owned() } else { items.join(", ") };
    for trunk in &config.trunks {
        let sources = join(trunk.inbound.sources.iter().map(ToString::to_string).collect());
        let transports = trunk.inbound.transports.iter().map(ToString::to_string).collect::<Vec<_>>();
        let transports =
            if transports.is_empty() { "any transport".to_owned() } else { transports.join(", ") };
        let codecs = join(trunk.media.codecs.iter().map(ToString::to_string).collect());
        let numbers = config.dids.iter().filter(|did| did.trunks.contains(&trunk.id)).count();
        let routes = config.routes.iter().filter(|route| route.trunks.contains(&trunk.id)).count();
        let limit = |max: Option<u32>| max.map_or("no limit".to_owned(), |max| max.to_string());
        // Writing to a String does not fail.
        let _ = writeln!(text, "{}", trunk.id);
        let _ = writeln!(text, "  takes calls from  {sources} over {transports}");
        for gateway in &trunk.gateways {
            let (label, priority, weight) = (gateway.to_string(), gateway.priority, gateway.weight);
            let _ = writeln!(text, "  sends calls to    {label} (priority {priority}, weight {weight})");
        }
        let (calls, per_sec) = (limit(trunk.calls_max), limit(trunk.calls_per_sec_max));
        let _ = writeln!(text, "  calls at once     {calls}, a second: {per_sec}");
        let _ = writeln!(text, "  codecs            {codecs}");
        let _ = writeln!(text, "  used by           {numbers} numbers, {routes} routes");
    }
    if text.is_empty() {
        text.push_str("no trunks are configured\n");
    }
    text
}
