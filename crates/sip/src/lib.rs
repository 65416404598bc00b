//! Sans-IO SIP user agent: message layer, transactions, dialogs, INVITE sessions.
