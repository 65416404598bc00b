//! The published document, and what Schemathesis makes of it: requests that it allows and requests that it does not,
//! of every operation. Whatever comes, the answer is not 500, and it is one that the document has.

use super::clients::python;
use super::edge::{Edge, Rules};
use super::wire::Request;
use std::collections::BTreeSet;
use std::process::Command;

/// Requests of each operation and phase; the fixed ones of the phase that covers the document come on top.
const EXAMPLES: &str = "10";

const SEED: &str = "20261123";

#[test]
fn no_request_that_the_document_leads_to_is_answered_with_500_or_otherwise_than_it_says() {
    let edge = Edge::start(Rules::WIDE);
    let document = edge
        .connect()
        .and_then(|mut line| line.exchange(b"GET /openapi.json HTTP/1.1\r\nhost: localhost\r\n\r\n"));
    let document = document.expect("the published document").json();
    let paths = document["paths"].as_object().expect("paths");
    let operations: BTreeSet<&str> = paths
        .values()
        .flat_map(|methods| methods.as_object().into_iter().flatten())
        .filter_map(|(_, operation)| operation["operationId"].as_str())
        .collect();

    let folder = tempfile::tempdir().expect("a folder");
    let hooks = concat!(env!("CARGO_MANIFEST_DIR"), "/acs/schemathesis/signed.py");
    let output = Command::new(python())
        .args(["-B", "-m", "schemathesis.cli", "run"])
        .arg(format!("https://{}/openapi.json", edge.eligible().host))
        // All checks but two: what a schema allows may be refused for what the rules say of it, and members that
        // only answers have are not looked at in requests, which clients fill with what they were answered.
        .args(["--checks", "all", "--exclude-checks", "positive_data_acceptance,negative_data_rejection"])
        .args(["--max-examples", EXAMPLES, "--seed", SEED])
        .args(["--generation-database", "none", "--no-color", "--continue-on-failure", "--warnings", "off"])
        .args(["--suppress-health-check", "all", "--tls-verify"])
        .arg(edge.authority())
        .env("SCHEMATHESIS_HOOKS", hooks)
        .env("TRUNKLINE_CONNECTION", &edge.eligible().connection)
        .current_dir(folder.path())
        .output()
        .expect("Schemathesis starts (cargo xtask test installs it)");
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{errors}\n{}", edge.log());
    assert_eq!(edge.server_errors(), 0, "{said}");
    for operation in operations {
        assert!(edge.answers_to(operation) > 0, "it never asked for {operation}: {said}");
    }
    let alive = edge.connect().and_then(|mut line| {
        line.exchange(&edge.eligible().sign(&Request::get("/phoneNumbers?api-version=2025-06-01")))
    });
    assert_eq!(alive.expect("an answer").status, 200);
}
