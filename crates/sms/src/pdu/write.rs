//! PDUs to octets.

use bytes::{Bytes, BytesMut};

use super::body::RESPONSE;
use super::codec::{
    self, COctetString, DestAddress, DistributionListName, EmptyOrFullCOctetString, Encode, Length,
    OctetString, ServiceType, SmeAddress, UnsuccessSme,
};
use super::{
    Address, Bind, BindKind, Body, Destination, SHORT_MESSAGE_MAX, ShortMessage, Tlv, Unencodable, id, tag,
    tlv,
};
use crate::status::CommandStatus;

/// Appends a body and returns its command_id.
pub(super) fn body(body: &Body, out: &mut BytesMut) -> Result<u32, Unencodable> {
    Ok(match body {
        Body::Bind(bind) => {
            append(&fields_of_bind(bind)?, out);
            bind_id(bind.kind)
        }
        Body::BindResp { kind, system_id, version } => {
            append(&text::<16>(system_id, "system_id")?, out);
            if let Some(version) = version {
                append_tlv(&Tlv::new(tag::SC_INTERFACE_VERSION, vec![*version]), out)?;
            }
            bind_id(*kind) | RESPONSE
        }
        Body::Outbind { system_id } => {
            append(&codec::Outbind::new(text(system_id, "system_id")?, COctetString::null()), out);
            id::OUTBIND
        }
        Body::Unbind => id::UNBIND,
        Body::UnbindResp => id::UNBIND | RESPONSE,
        Body::EnquireLink => id::ENQUIRE_LINK,
        Body::EnquireLinkResp => id::ENQUIRE_LINK | RESPONSE,
        Body::GenericNack => RESPONSE,
        Body::AlertNotification => id::ALERT_NOTIFICATION,
        Body::CancelResp => id::CANCEL_SM | RESPONSE,
        Body::Submit(message) => short(message, id::SUBMIT_SM, out)?,
        Body::Deliver(message) => short(message, id::DELIVER_SM, out)?,
        Body::Data(message) => data(message, out)?,
        Body::SubmitMulti { message, destinations } => multi(message, destinations, out)?,
        Body::SubmitResp { id } => answer(id.as_deref(), id::SUBMIT_SM, out)?,
        Body::DeliverResp => answer(None, id::DELIVER_SM, out)?,
        Body::DataResp { id } => answer(id.as_deref(), id::DATA_SM, out)?,
        Body::SubmitMultiResp { id, failed } => multi_answer(id.as_deref(), failed, out)?,
        Body::Query { id, source } => {
            let (ton, npi, source) = parts::<21>(source, "source_addr")?;
            append(&codec::QuerySm::new(text(id, "message_id")?, ton.into(), npi.into(), source), out);
            id::QUERY_SM
        }
        Body::QueryResp { id, final_date, state, error } => {
            let (id, date) = (text(id, "message_id")?, time(final_date, "final_date")?);
            append(&codec::QuerySmResp::new(id, date, (*state).into(), *error), out);
            id::QUERY_SM | RESPONSE
        }
        Body::Cancel { service_type, id, source, destination } => {
            let (from_ton, from_npi, from) = parts::<21>(source, "source_addr")?;
            let (to_ton, to_npi, to) = parts::<21>(destination, "destination_addr")?;
            let service = ServiceType::new(text(service_type, "service_type")?);
            let id = text(id, "message_id")?;
            let cancel = codec::CancelSm::new(
                service,
                id,
                from_ton.into(),
                from_npi.into(),
                from,
                to_ton.into(),
                to_npi.into(),
                to,
            );
            append(&cancel, out);
            id::CANCEL_SM
        }
        Body::Other { command_id } => *command_id,
    })
}

fn bind_id(kind: BindKind) -> u32 {
    match kind {
        BindKind::Receiver => id::BIND_RECEIVER,
        BindKind::Transmitter => id::BIND_TRANSMITTER,
        BindKind::Transceiver => id::BIND_TRANSCEIVER,
    }
}

fn fields_of_bind(bind: &Bind) -> Result<codec::AnyBind, Unencodable> {
    let (ton, npi, range) = parts::<41>(&bind.range, "address_range")?;
    Ok(codec::AnyBind::new(
        text(&bind.system_id, "system_id")?,
        text(&bind.password, "password")?,
        text(&bind.system_type, "system_type")?,
        bind.version.into(),
        ton.into(),
        npi.into(),
        range,
    ))
}

fn short(message: &ShortMessage, command_id: u32, out: &mut BytesMut) -> Result<u32, Unencodable> {
    let (from_ton, from_npi, from) = parts::<21>(&message.source, "source_addr")?;
    let (to_ton, to_npi, to) = parts::<21>(&message.destination, "destination_addr")?;
    let fields = codec::SubmitSm::new(
        ServiceType::new(text(&message.service_type, "service_type")?),
        from_ton.into(),
        from_npi.into(),
        from,
        to_ton.into(),
        to_npi.into(),
        to,
        message.esm_class.into(),
        message.protocol_id,
        message.priority.into(),
        time(&message.schedule, "schedule_delivery_time")?,
        time(&message.validity, "validity_period")?,
        message.registered_delivery.into(),
        message.replace_if_present.into(),
        message.data_coding.into(),
        0,
        short_octets(message)?,
        Vec::new(),
    );
    append(&fields, out);
    append_tlvs(message, out)?;
    Ok(command_id)
}

fn multi(
    message: &ShortMessage,
    destinations: &[Destination],
    out: &mut BytesMut,
) -> Result<u32, Unencodable> {
    if destinations.is_empty() || destinations.len() > DESTINATIONS_MAX {
        return Err(Unencodable("number_of_dests"));
    }
    let (from_ton, from_npi, from) = parts::<21>(&message.source, "source_addr")?;
    let destinations: Result<Vec<DestAddress>, Unencodable> = destinations.iter().map(destination).collect();
    let fields = codec::SubmitMulti::new(
        ServiceType::new(text(&message.service_type, "service_type")?),
        from_ton.into(),
        from_npi.into(),
        from,
        destinations?,
        message.esm_class.into(),
        message.protocol_id,
        message.priority.into(),
        time(&message.schedule, "schedule_delivery_time")?,
        time(&message.validity, "validity_period")?,
        message.registered_delivery.into(),
        message.replace_if_present.into(),
        message.data_coding.into(),
        0,
        short_octets(message)?,
        Vec::new(),
    );
    append(&fields, out);
    append_tlvs(message, out)?;
    Ok(id::SUBMIT_MULTI)
}

/// Most destinations of submit_multi (SMPP 3.4 §4.5.1).
const DESTINATIONS_MAX: usize = 254;

fn destination(destination: &Destination) -> Result<DestAddress, Unencodable> {
    Ok(match destination {
        Destination::Number(address) => {
            let (ton, npi, to) = parts::<21>(address, "destination_addr")?;
            DestAddress::SmeAddress(SmeAddress::new(ton.into(), npi.into(), to))
        }
        Destination::List(name) => {
            DestAddress::DistributionListName(DistributionListName::new(text(name, "dl_name")?))
        }
    })
}

/// data_sm has no short_message: its octets always go in message_payload (SMPP 3.4 §4.7).
fn data(message: &ShortMessage, out: &mut BytesMut) -> Result<u32, Unencodable> {
    let (from_ton, from_npi, from) = parts::<21>(&message.source, "source_addr")?;
    let (to_ton, to_npi, to) = parts::<21>(&message.destination, "destination_addr")?;
    let fields = codec::DataSm::new(
        ServiceType::new(text(&message.service_type, "service_type")?),
        from_ton.into(),
        from_npi.into(),
        from,
        to_ton.into(),
        to_npi.into(),
        to,
        message.esm_class.into(),
        message.registered_delivery.into(),
        message.data_coding.into(),
        Vec::new(),
    );
    append(&fields, out);
    if message.in_payload || !message.octets.is_empty() {
        append_tlv(&Tlv::new(tag::MESSAGE_PAYLOAD, message.octets.clone()), out)?;
    }
    message.tlvs.iter().try_for_each(|tlv| append_tlv(tlv, out))?;
    Ok(id::DATA_SM)
}

/// A refusal has no body of its own, but an empty id is what most peers can read.
fn answer(id: Option<&str>, command_id: u32, out: &mut BytesMut) -> Result<u32, Unencodable> {
    append(&text::<65>(id.unwrap_or_default(), "message_id")?, out);
    Ok(command_id | RESPONSE)
}

fn multi_answer(
    id: Option<&str>,
    failed: &[(Address, CommandStatus)],
    out: &mut BytesMut,
) -> Result<u32, Unencodable> {
    let failed = failed.iter().map(|(address, status)| {
        let (ton, npi, to) = parts::<21>(address, "destination_addr")?;
        Ok(UnsuccessSme::new(ton.into(), npi.into(), to, status.0.into()))
    });
    let failed: Vec<UnsuccessSme> = failed.collect::<Result<_, _>>()?;
    if failed.len() > DESTINATIONS_MAX {
        return Err(Unencodable("no_unsuccess"));
    }
    let id = text(id.unwrap_or_default(), "message_id")?;
    append(&codec::SubmitMultiResp::new(id, failed, Vec::new()), out);
    Ok(id::SUBMIT_MULTI | RESPONSE)
}

fn short_octets(message: &ShortMessage) -> Result<OctetString<0, 255>, Unencodable> {
    if message.in_payload {
        return Ok(OctetString::empty());
    }
    let octets = Some(message.octets.clone()).filter(|octets| octets.len() <= SHORT_MESSAGE_MAX);
    octets.and_then(|octets| OctetString::from_bytes(octets).ok()).ok_or(Unencodable("short_message"))
}

fn append_tlvs(message: &ShortMessage, out: &mut BytesMut) -> Result<(), Unencodable> {
    if message.in_payload {
        append_tlv(&Tlv::new(tag::MESSAGE_PAYLOAD, message.octets.clone()), out)?;
    }
    message.tlvs.iter().try_for_each(|tlv| append_tlv(tlv, out))
}

fn append_tlv(tlv: &Tlv, out: &mut BytesMut) -> Result<(), Unencodable> {
    if tlv::write(tlv, out) { Ok(()) } else { Err(Unencodable("TLV")) }
}

fn append(fields: &impl Encode, out: &mut BytesMut) {
    // The codec may panic where the capacity is less than the length.
    out.reserve(Length::length(fields));
    fields.encode(out);
}

fn text<const N: usize>(text: &str, field: &'static str) -> Result<COctetString<1, N>, Unencodable> {
    if text.is_empty() {
        return Ok(COctetString::empty());
    }
    COctetString::from_bytes(terminated(text)).map_err(|_| Unencodable(field))
}

fn time(text: &str, field: &'static str) -> Result<EmptyOrFullCOctetString<17>, Unencodable> {
    if text.is_empty() {
        return Ok(EmptyOrFullCOctetString::empty());
    }
    EmptyOrFullCOctetString::from_bytes(terminated(text)).map_err(|_| Unencodable(field))
}

fn terminated(text: &str) -> Bytes {
    let mut octets = Vec::with_capacity(text.len() + 1);
    octets.extend_from_slice(text.as_bytes());
    octets.push(0);
    octets.into()
}

fn parts<const N: usize>(
    address: &Address,
    field: &'static str,
) -> Result<(u8, u8, COctetString<1, N>), Unencodable> {
    Ok((address.ton, address.npi, text(&address.address, field)?))
}
