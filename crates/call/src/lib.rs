//! Sans-IO B2BUA and bridge: routing, trunk health and limits, call records.
