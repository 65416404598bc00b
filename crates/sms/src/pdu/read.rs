//! Octets to PDUs.

use bytes::{Bytes, BytesMut};

use super::body::RESPONSE;
use super::codec::{self, COctetString, DecodeWithLength, DestAddress, UnsuccessSme};
use super::layout::Layout;
use super::{Address, Bind, BindKind, Body, Destination, SHORT_MESSAGE_MAX, ShortMessage, Tlv, id, tag, tlv};
use crate::status::CommandStatus;

pub(super) fn request(command_id: u32, body: Bytes) -> Result<Body, CommandStatus> {
    Ok(match command_id {
        id::BIND_RECEIVER => Body::Bind(bind(BindKind::Receiver, body)?),
        id::BIND_TRANSMITTER => Body::Bind(bind(BindKind::Transmitter, body)?),
        id::BIND_TRANSCEIVER => Body::Bind(bind(BindKind::Transceiver, body)?),
        id::OUTBIND => Body::Outbind { system_id: string(&body) },
        id::UNBIND => Body::Unbind,
        id::ENQUIRE_LINK => Body::EnquireLink,
        id::ALERT_NOTIFICATION => Body::AlertNotification,
        id::SUBMIT_SM => Body::Submit(short_message(body)?),
        // submit_sm and deliver_sm have the same fields.
        id::DELIVER_SM => Body::Deliver(short_message(body)?),
        id::DATA_SM => Body::Data(data_message(body)?),
        id::SUBMIT_MULTI => {
            let (message, destinations) = multi_message(body)?;
            Body::SubmitMulti { message, destinations }
        }
        id::QUERY_SM => {
            let read: codec::QuerySm = mandatory(&body)?;
            let source = address(read.source_addr_ton, read.source_addr_npi, &read.source_addr);
            Body::Query { id: read.message_id.to_string(), source }
        }
        id::CANCEL_SM => {
            let read: codec::CancelSm = mandatory(&body)?;
            Body::Cancel {
                service_type: read.service_type.value().to_string(),
                id: read.message_id.to_string(),
                source: address(read.source_addr_ton, read.source_addr_npi, &read.source_addr),
                destination: address(read.dest_addr_ton, read.dest_addr_npi, &read.destination_addr),
            }
        }
        _ => Body::Other { command_id },
    })
}

pub(super) fn response(command_id: u32, body: Bytes) -> Body {
    let one_id = |body: &Bytes| Some(string(body)).filter(|id| !id.is_empty());
    match command_id & !RESPONSE {
        0 => Body::GenericNack,
        id::BIND_RECEIVER => bind_response(BindKind::Receiver, body),
        id::BIND_TRANSMITTER => bind_response(BindKind::Transmitter, body),
        id::BIND_TRANSCEIVER => bind_response(BindKind::Transceiver, body),
        id::UNBIND => Body::UnbindResp,
        id::ENQUIRE_LINK => Body::EnquireLinkResp,
        id::SUBMIT_SM => Body::SubmitResp { id: one_id(&body) },
        id::DELIVER_SM => Body::DeliverResp,
        id::DATA_SM => Body::DataResp { id: one_id(&body) },
        id::CANCEL_SM => Body::CancelResp,
        id::SUBMIT_MULTI => Body::SubmitMultiResp {
            id: one_id(&body),
            failed: mandatory::<codec::SubmitMultiResp>(&body)
                .map_or(Vec::new(), |read| read.unsuccess_sme().iter().map(unsuccessful).collect()),
        },
        id::QUERY_SM => match mandatory::<codec::QuerySmResp>(&body) {
            Ok(read) => Body::QueryResp {
                id: read.message_id.to_string(),
                final_date: read.final_date.to_string(),
                state: read.message_state.into(),
                error: read.error_code,
            },
            Err(_) => Body::QueryResp { id: string(&body), final_date: String::new(), state: 7, error: 0 },
        },
        _ => Body::Other { command_id },
    }
}

fn mandatory<T: DecodeWithLength>(body: &[u8]) -> Result<T, CommandStatus> {
    let read = T::decode(&mut BytesMut::from(body), body.len());
    read.map(|(value, _)| value).map_err(|_| CommandStatus::INVALID_COMMAND_LENGTH)
}

fn bind(kind: BindKind, body: Bytes) -> Result<Bind, CommandStatus> {
    let read: codec::AnyBind = mandatory(&body)?;
    Ok(Bind {
        kind,
        system_id: read.system_id.to_string(),
        password: read.password.to_string(),
        system_type: read.system_type.to_string(),
        version: read.interface_version.into(),
        range: Address {
            ton: read.addr_ton.into(),
            npi: read.addr_npi.into(),
            address: read.address_range.to_string(),
        },
    })
}

fn bind_response(kind: BindKind, body: Bytes) -> Body {
    let (_, tlvs) = split_tlvs(Layout::OneString, body.clone()).unwrap_or_default();
    let version = tlvs.iter().find(|tlv| tlv.tag == tag::SC_INTERFACE_VERSION);
    let version = version.and_then(|tlv| tlv.value.first().copied());
    Body::BindResp { kind, system_id: string(&body), version }
}

fn short_message(body: Bytes) -> Result<ShortMessage, CommandStatus> {
    let (head, tlvs) = split_tlvs(Layout::Short, body)?;
    let read: codec::SubmitSm = mandatory(&head)?;
    let message = ShortMessage {
        service_type: read.service_type.value().to_string(),
        source: address(read.source_addr_ton, read.source_addr_npi, &read.source_addr),
        destination: address(read.dest_addr_ton, read.dest_addr_npi, &read.destination_addr),
        esm_class: read.esm_class.into(),
        protocol_id: read.protocol_id,
        priority: read.priority_flag.into(),
        schedule: read.schedule_delivery_time.to_string(),
        validity: read.validity_period.to_string(),
        registered_delivery: read.registered_delivery.into(),
        replace_if_present: read.replace_if_present_flag.into(),
        data_coding: read.data_coding.into(),
        octets: Bytes::copy_from_slice(read.short_message().as_ref()),
        in_payload: false,
        tlvs,
    };
    with_payload(message)
}

fn multi_message(body: Bytes) -> Result<(ShortMessage, Vec<Destination>), CommandStatus> {
    let (head, tlvs) = split_tlvs(Layout::Multi, body)?;
    let read: codec::SubmitMulti = mandatory(&head)?;
    let destinations = read.dest_address().iter().map(|destination| match destination {
        DestAddress::SmeAddress(to) => {
            Destination::Number(address(to.dest_addr_ton, to.dest_addr_npi, &to.destination_addr))
        }
        DestAddress::DistributionListName(list) => Destination::List(list.dl_name.to_string()),
    });
    let destinations = destinations.collect();
    let message = ShortMessage {
        service_type: read.service_type.value().to_string(),
        source: address(read.source_addr_ton, read.source_addr_npi, &read.source_addr),
        destination: Address::default(),
        esm_class: read.esm_class.into(),
        protocol_id: read.protocol_id,
        priority: read.priority_flag.into(),
        schedule: read.schedule_delivery_time.to_string(),
        validity: read.validity_period.to_string(),
        registered_delivery: read.registered_delivery.into(),
        replace_if_present: read.replace_if_present_flag.into(),
        data_coding: read.data_coding.into(),
        octets: Bytes::copy_from_slice(read.short_message().as_ref()),
        in_payload: false,
        tlvs,
    };
    Ok((with_payload(message)?, destinations))
}

fn data_message(body: Bytes) -> Result<ShortMessage, CommandStatus> {
    let (head, tlvs) = split_tlvs(Layout::Data, body)?;
    let read: codec::DataSm = mandatory(&head)?;
    with_payload(ShortMessage {
        service_type: read.service_type.value().to_string(),
        source: address(read.source_addr_ton, read.source_addr_npi, &read.source_addr),
        destination: address(read.dest_addr_ton, read.dest_addr_npi, &read.destination_addr),
        esm_class: read.esm_class.into(),
        registered_delivery: read.registered_delivery.into(),
        data_coding: read.data_coding.into(),
        tlvs,
        ..ShortMessage::default()
    })
}

/// Moves message_payload to where the octets are.
fn with_payload(mut message: ShortMessage) -> Result<ShortMessage, CommandStatus> {
    if message.octets.len() > SHORT_MESSAGE_MAX {
        return Err(CommandStatus::INVALID_MESSAGE_LENGTH);
    }
    if let Some(at) = message.tlvs.iter().position(|tlv| tlv.tag == tag::MESSAGE_PAYLOAD) {
        // SMPP 3.4 §4.4.1: sm_length is 0 then.
        if !message.octets.is_empty() {
            return Err(CommandStatus::INVALID_OPTIONAL_PARAMETERS);
        }
        message.octets = message.tlvs.remove(at).value;
        message.in_payload = true;
    }
    Ok(message)
}

fn split_tlvs(layout: Layout, mut body: Bytes) -> Result<(Bytes, Vec<Tlv>), CommandStatus> {
    let length = layout.mandatory(&body).ok_or(CommandStatus::INVALID_COMMAND_LENGTH)?;
    let head = body.split_to(length);
    let tlvs = tlv::read_all(body).map_err(|_| CommandStatus::INVALID_OPTIONAL_PARAMETERS)?;
    Ok((head, tlvs))
}

/// Reads a C-octet string at the front of a response, whatever is wrong with it.
fn string(body: &[u8]) -> String {
    let end = body.iter().position(|octet| *octet == 0).unwrap_or(body.len()).min(64);
    String::from_utf8_lossy(body.get(..end).unwrap_or_default()).into_owned()
}

fn address<const N: usize>(ton: impl Into<u8>, npi: impl Into<u8>, text: &COctetString<1, N>) -> Address {
    Address { ton: ton.into(), npi: npi.into(), address: text.to_string() }
}

fn unsuccessful(sme: &UnsuccessSme) -> (Address, CommandStatus) {
    let to = address(sme.dest_addr_ton, sme.dest_addr_npi, &sme.destination_addr);
    (to, CommandStatus(sme.error_status_code.into()))
}
