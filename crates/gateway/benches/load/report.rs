//! One result, as a JSON line or for people.

use serde_json::json;

/// A measured figure of ours beside one of a peer or of a floor, both from the same run.
pub struct Figure {
    pub bench: &'static str,
    pub metric: &'static str,
    pub ours: f64,
    pub unit: &'static str,
    pub peer: Option<(&'static str, f64)>,
    /// Whether more is better, as for calls a second.
    pub more_is_better: bool,
}

impl Figure {
    /// Prints it: `ratio` is how many times better ours is.
    pub fn print(&self, as_json: bool) {
        let ratio = self.peer.map(
            |(_, theirs)| {
                if self.more_is_better { self.ours / theirs } else { theirs / self.ours }
            },
        );
        if as_json {
            let line = json!({
                "bench": self.bench, "metric": self.metric, "ours": round(self.ours), "unit": self.unit,
                "peer": self.peer.map(|(name, _)| name),
                "peer_value": self.peer.map(|(_, value)| round(value)),
                "ratio": ratio.map(round),
            });
            println!("{line}");
            return;
        }
        print!("{:<10} {:<34} {:>10.3} {}", self.bench, self.metric, self.ours, self.unit);
        match (self.peer, ratio) {
            (Some((name, value)), Some(ratio)) => println!("   {name}: {value:.3}   ratio {ratio:.2}"),
            _ => println!(),
        }
    }
}

fn round(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}
