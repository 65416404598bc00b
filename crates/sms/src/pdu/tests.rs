use super::*;
use proptest::prelude::*;

fn read_back(body: Body) -> Body {
    let pdu = Pdu { status: CommandStatus::OK, sequence: 7, body };
    let octets = encode(&pdu).unwrap();
    assert_eq!(octets.len(), u32::from_be_bytes(octets[..4].try_into().unwrap()) as usize);
    let read = decode(&octets).unwrap();
    assert_eq!((read.status, read.sequence), (CommandStatus::OK, 7));
    read.body
}

fn number(address: &str) -> Address {
    Address { ton: 1, npi: 1, address: address.into() }
}

fn message(octets: &[u8]) -> ShortMessage {
    ShortMessage {
        source: number("14255550100"),
        destination: number("12065550111"),
        esm_class: 0x43,
        priority: 2,
        validity: "000001000000000R".into(),
        registered_delivery: 1,
        data_coding: 8,
        octets: Bytes::copy_from_slice(octets),
        tlvs: vec![Tlv::new(tag::USER_MESSAGE_REFERENCE, vec![1, 2]), Tlv::new(0x1400, vec![9])],
        ..ShortMessage::default()
    }
}

#[test]
fn the_bind_of_the_standard() {
    // SMPP 3.4 §3.2.2.
    let octets = Bytes::from_static(
        b"\0\0\0\x2f\0\0\0\x02\0\0\0\0\0\0\0\x01SMPP3TEST\0secret08\0SUBMIT1\0\x50\x01\x01\0",
    );
    let pdu = decode(&octets).unwrap();
    let Body::Bind(bind) = &pdu.body else { panic!() };
    assert_eq!(
        (bind.kind, bind.system_id.as_str(), bind.version),
        (BindKind::Transmitter, "SMPP3TEST", 0x50)
    );
    assert_eq!((bind.password.as_str(), bind.range.ton), ("secret08", 1));
    assert!(!format!("{pdu:?}").contains("secret08"));
    assert_eq!(encode(&pdu).unwrap(), octets);
}

#[test]
fn every_command_is_read_as_it_was_written() {
    let bodies = [
        Body::Submit(message(b"hello")),
        Body::Deliver(message(b"")),
        Body::Data(ShortMessage {
            priority: 0,
            validity: String::new(),
            in_payload: true,
            ..message(&[7; 1000])
        }),
        Body::Submit(ShortMessage { in_payload: true, ..message(&[7; 60_000]) }),
        Body::Data(ShortMessage { priority: 0, validity: String::new(), in_payload: true, ..message(b"") }),
        Body::SubmitMulti {
            message: ShortMessage { destination: Address::default(), ..message(b"x") },
            destinations: vec![Destination::Number(number("12065550111")), Destination::List("all".into())],
        },
        Body::SubmitResp { id: Some("01AB".into()) },
        Body::SubmitMultiResp {
            id: Some("01AB".into()),
            failed: vec![(number("12065550111"), CommandStatus::INVALID_DESTINATION)],
        },
        Body::DataResp { id: None },
        Body::DeliverResp,
        Body::Query { id: "1".into(), source: number("14255550100") },
        Body::QueryResp { id: "1".into(), final_date: String::new(), state: 2, error: 3 },
        Body::Cancel {
            service_type: "CMT".into(),
            id: "1".into(),
            source: number("14255550100"),
            destination: number("12065550111"),
        },
        Body::CancelResp,
        Body::BindResp { kind: BindKind::Receiver, system_id: "smsc".into(), version: Some(0x34) },
        Body::Unbind,
        Body::UnbindResp,
        Body::EnquireLink,
        Body::EnquireLinkResp,
        Body::GenericNack,
        Body::Other { command_id: 0x0999 },
    ];
    for body in bodies {
        assert_eq!(read_back(body.clone()), body);
    }
}

#[test]
fn what_smpp_does_not_allow_is_not_written() {
    let refused = |body| encode(&Pdu { status: CommandStatus::OK, sequence: 1, body }).unwrap_err().0;
    assert_eq!(refused(Body::Submit(message(&[0; 255]))), "short_message");
    let long = ShortMessage { source: number(&"1".repeat(21)), ..message(b"") };
    assert_eq!(refused(Body::Submit(long)), "source_addr");
    let name = ShortMessage { source: number("Café"), ..message(b"") };
    assert_eq!(refused(Body::Submit(name)), "source_addr");
    let huge = ShortMessage { in_payload: true, ..message(&[0; 65_536]) };
    assert_eq!(refused(Body::Submit(huge)), "TLV");
    let none = Body::SubmitMulti { message: message(b""), destinations: Vec::new() };
    assert_eq!(refused(none), "number_of_dests");
}

/// A deliver_sm of hand-made octets behind the addresses.
fn deliver(tail: &[u8]) -> Bytes {
    let mut octets = vec![0; 4];
    octets.extend([0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 9]);
    octets.extend(b"\0\x01\x0112065550111\0\x01\x0114255550100\0\0\0\0\0\0\0\0\0\0");
    octets.extend(tail);
    let length = octets.len() as u32;
    octets[..4].copy_from_slice(&length.to_be_bytes());
    octets.into()
}

#[test]
fn lengths_that_lie_are_answered() {
    let status = |tail: &[u8]| decode(&deliver(tail)).unwrap_err().status;
    assert_eq!(status(b"\x05abc"), CommandStatus::INVALID_COMMAND_LENGTH);
    assert_eq!(status(b""), CommandStatus::INVALID_COMMAND_LENGTH);
    assert_eq!(status(&[&[255u8][..], &[0; 255]].concat()), CommandStatus::INVALID_MESSAGE_LENGTH);
    assert_eq!(status(b"\0\x04\x27\xff\xff\x01"), CommandStatus::INVALID_OPTIONAL_PARAMETERS);
    assert_eq!(status(b"\x01a\x04\x24\x00\x01b"), CommandStatus::INVALID_OPTIONAL_PARAMETERS);
    let error = decode(&deliver(b"\x05abc")).unwrap_err();
    assert_eq!((error.command_id, error.sequence), (5, 9));
}

#[test]
fn tlvs_of_odd_length_and_padding_spoil_no_receipt() {
    let octets = deliver(b"\0\x00\x1e\x00\x03ab\0\x04\x27\x00\x02\x02\x00\x04\x23\x00\x02\x00\x22\0\0");
    let Body::Deliver(message) = decode(&octets).unwrap().body else { panic!() };
    let tlvs = message.receipt_tlvs();
    assert_eq!((tlvs.message_id.as_deref(), tlvs.message_state), (Some("ab"), Some(2)));
    assert_eq!(tlvs.network_error, None);
}

#[test]
fn responses_are_read_whatever_is_wrong_with_them() {
    let response = |command: u8, body: &[u8]| {
        let mut octets = vec![0, 0, 0, 0, 0x80, 0, 0, command, 0, 0, 0, 8, 0, 0, 0, 1];
        octets.extend(body);
        decode(&octets.into()).unwrap()
    };
    assert_eq!(response(4, b"").body, Body::SubmitResp { id: None });
    assert_eq!(response(4, b"12ab").body, Body::SubmitResp { id: Some("12ab".into()) });
    assert_eq!(response(4, b"12\0garbage").status, CommandStatus::SYSTEM_ERROR);
    assert!(matches!(response(3, b"").body, Body::QueryResp { state: 7, .. }));
    assert!(
        matches!(response(0x21, b"7\0\x05").body, Body::SubmitMultiResp { failed, .. } if failed.is_empty())
    );
    assert!(matches!(response(9, b"").body, Body::BindResp { version: None, .. }));
}

#[test]
fn debug_shows_neither_text_nor_numbers() {
    let shown = format!("{:?}", Body::Submit(message(b"secret words")));
    assert!(!shown.contains("secret") && !shown.contains("2065550111"), "{shown}");
}

#[test]
fn sar_tlvs_make_a_part() {
    let part = |tlvs| ShortMessage { tlvs, ..ShortMessage::default() }.sar();
    let sar = |total, seq| {
        vec![
            Tlv::new(tag::SAR_MSG_REF_NUM, vec![1, 2]),
            Tlv::new(tag::SAR_TOTAL_SEGMENTS, vec![total]),
            Tlv::new(tag::SAR_SEGMENT_SEQNUM, vec![seq]),
        ]
    };
    assert_eq!(part(sar(3, 2)), crate::segment::Concat::new(0x0102, 3, 2));
    assert_eq!(part(sar(3, 4)), None);
    assert_eq!(part(Vec::new()), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn octets_of_any_kind_are_read_or_answered(
        command in prop_oneof![Just(4u32), Just(5), Just(0x103), Just(0x21), Just(3), Just(8), Just(1), any::<u32>()],
        response: bool,
        body in proptest::collection::vec(prop_oneof![Just(0u8), 0u8..4, any::<u8>()], 0..120),
    ) {
        let command = if response { command | 0x8000_0000 } else { command };
        let mut octets = (16 + body.len() as u32).to_be_bytes().to_vec();
        octets.extend(command.to_be_bytes());
        octets.extend([0, 0, 0, 0, 0, 0, 0, 1]);
        octets.extend(&body);
        match decode(&octets.into()) {
            Ok(pdu) => {
                prop_assert_eq!(pdu.body.is_response(), command & 0x8000_0000 != 0);
                // What was read can be written, but for names that are not ASCII in lenient responses.
                let _ = encode(&pdu);
            }
            Err(error) => prop_assert_eq!((error.command_id, error.sequence), (command, 1)),
        }
    }

    #[test]
    fn a_message_survives(
        octets in proptest::collection::vec(any::<u8>(), 0..254),
        esm_class: u8, data_coding: u8, registered_delivery: u8, priority: u8, ton: u8, npi: u8,
    ) {
        let source = Address { ton, npi, address: "ACME".into() };
        let body = Body::Submit(ShortMessage {
            source, esm_class, data_coding, registered_delivery, priority, ..message(&octets)
        });
        prop_assert_eq!(read_back(body.clone()), body);
    }
}
