//! The official clients as processes: each area of checks is one test for each kind of client.

use super::edge::{Edge, Rules};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The operations of identity, and what they refuse.
const IDENTITY: &[&str] = &[
    "create_user",
    "create_user_and_token",
    "create_user_and_token_for_a_while",
    "get_token",
    "get_token_for_a_while",
    "get_token_for_too_short_or_long",
    "revoke_tokens",
    "delete_user",
    "users_of_another_resource",
    "get_token_for_teams_user",
];

/// The operations on phone numbers, their pagers and their long-running operations.
const PHONE_NUMBERS: &[&str] = &[
    "list_available_countries",
    "list_available_localities",
    "list_available_localities_of_a_division",
    "list_available_offerings",
    "list_available_area_codes_geographic",
    "list_available_area_codes_toll_free",
    "list_available_area_codes_mobile",
    "browse_available_phone_numbers",
    "search_available_phone_numbers",
    "search_that_fails",
    "cancel_operation",
    "purchase_and_get",
    "purchase_twice_is_one_purchase",
    "purchase_of_an_unknown_search",
    "list_purchased_phone_numbers",
    "update_phone_number_capabilities",
    "release_phone_number",
    "create_or_update_reservation",
    "reservation_of_what_another_holds",
    "get_list_and_delete_reservations",
    "purchase_reservation",
    "search_operator_information",
];

/// The operations of SIP routing, and what they refuse.
const SIP_ROUTING: &[&str] = &[
    "nothing_is_configured_at_first",
    "set_trunks",
    "set_trunk",
    "get_trunk",
    "set_routes",
    "delete_trunk",
    "delete_trunk_that_a_route_goes_to",
    "refused_configurations_change_nothing",
    "set_nothing",
];

/// 400, 401, 403, 404 and 409.
const REFUSALS: &[&str] = &[
    "another_key_is_401",
    "billing_country_that_is_not_eligible_is_403",
    "number_of_nobody_is_404",
    "country_that_is_not_offered_is_404",
    "missing_emergency_address_is_409",
    "what_is_not_offered_is_400",
    "unknown_api_version_is_400",
    "every_known_api_version_is_served",
];

/// 429 for the rate of requests.
const LIMITS: &[&str] = &["rate_limit_is_429", "rate_limit_is_waited_out"];

/// 503, 429 and 403 for what cannot be now or no more.
const QUOTAS: &[&str] = &[
    "busy_database_is_503_and_retried",
    "purchases_at_once_are_429_and_retried",
    "searches_beyond_the_quota_are_403",
];

/// What comes too late.
const LAPSE: &[&str] = &["purchase_that_fails", "lapsed_reservation_is_409"];

/// An official client.
#[derive(Clone, Copy)]
enum Client {
    Python,
    PythonAsync,
    JavaScript,
}

/// Declares a module of tests for each client: one test for each area.
macro_rules! clients {
    ($($module:ident = $client:ident),+) => {
        $(mod $module {
            use super::{Client, IDENTITY, LAPSE, LIMITS, PHONE_NUMBERS, QUOTAS, REFUSALS, Rules, SIP_ROUTING};

            #[test]
            fn identity() {
                Client::$client.checks("identity", IDENTITY, Rules::WIDE);
            }

            #[test]
            fn phone_numbers() {
                Client::$client.checks("phone_numbers", PHONE_NUMBERS, Rules::WIDE);
            }

            #[test]
            fn sip_routing() {
                Client::$client.checks("sip_routing", SIP_ROUTING, Rules::WIDE);
            }

            #[test]
            fn refusals() {
                Client::$client.checks("refusals", REFUSALS, Rules::WIDE);
            }

            #[test]
            fn limits() {
                Client::$client.checks("limits", LIMITS, Rules::NARROW);
            }

            #[test]
            fn quotas() {
                Client::$client.checks("quotas", QUOTAS, Rules::SHIPPED);
            }

            #[test]
            fn lapse() {
                Client::$client.checks("lapse", LAPSE, Rules::SHORT);
            }
        })+
    };
}

clients!(python = Python, python_async = PythonAsync, javascript = JavaScript);

impl Client {
    /// Runs an area of checks against a gateway of its own, and asserts that each was made and went well.
    fn checks(self, area: &str, expected: &[&str], rules: Rules) {
        let edge = Edge::start(rules);
        let output = self.run(area, &edge);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let explained = String::from_utf8_lossy(&output.stderr).into_owned();
        let made: Vec<&str> = said.lines().filter_map(|line| line.strip_prefix("ok ")).collect();
        assert!(output.status.success(), "{said}\n{explained}\n{}", edge.log());
        assert_eq!(made, expected, "the driver's checks are not those that are listed here\n{explained}");
        assert_eq!(edge.server_errors(), 0, "it answered 500 to something");
    }

    fn run(self, area: &str, edge: &Edge) -> Output {
        let drivers = Path::new(env!("CARGO_MANIFEST_DIR")).join("acs");
        let mut command = match self {
            Self::Python | Self::PythonAsync => {
                let mut command = Command::new(python());
                let mode = if matches!(self, Self::Python) { "sync" } else { "aio" };
                // Nothing is left beside the sources.
                command.arg("-B").arg(drivers.join("python/main.py")).args([mode, area]);
                command
            }
            Self::JavaScript => {
                let mut command = Command::new("node");
                command.arg(drivers.join("javascript/main.cjs")).arg(area);
                command.env("NODE_PATH", installed(&packages().join("javascript/node_modules")));
                command
            }
        };
        command
            .env("TRUNKLINE_CONNECTION", &edge.eligible().connection)
            .env("TRUNKLINE_CONNECTION_INELIGIBLE", &edge.ineligible().connection)
            .env("TRUNKLINE_DATABASE", edge.database_file())
            .env("TRUNKLINE_PYTHON", python())
            // The one thing that clients are told besides the connection string: whom to trust.
            .env("REQUESTS_CA_BUNDLE", edge.authority())
            .env("SSL_CERT_FILE", edge.authority())
            .env("NODE_EXTRA_CA_CERTS", edge.authority())
            .output()
            .expect("the client starts (cargo xtask test installs it)")
    }
}

/// Returns the folder into which `cargo xtask test` installs the packages.
fn packages() -> PathBuf {
    if let Some(path) = std::env::var_os("TRUNKLINE_PACKAGES") {
        return path.into();
    }
    // target/<profile>/deps/<test>: the packages are beside the profiles.
    let test = std::env::current_exe().expect("the path of this test");
    test.ancestors().nth(3).expect("a folder of builds").join("packages")
}

/// Returns the Python that has the clients, the oracle's metadata and Schemathesis.
pub(crate) fn python() -> PathBuf {
    installed(&packages().join("python/bin/python"))
}

fn installed(path: &Path) -> PathBuf {
    assert!(path.exists(), "there is no {}: run the tests by `cargo xtask test acs`", path.display());
    path.to_owned()
}
