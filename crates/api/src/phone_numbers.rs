//! Phone numbers: search, purchase, release, catalogue, reservations.

use crate::path::Route;

pub(crate) static ROUTES: &[Route] = &[];
