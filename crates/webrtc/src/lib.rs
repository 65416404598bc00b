//! Sans-IO browser legs over str0m.
