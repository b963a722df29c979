//! Between JSON and the messages of an RPC, as Go's gateway of etcd has it: names as in the .proto files or in
//! camel case, 64-bit numbers as text, bytes in base64, zero values left out, unknown fields overlooked.

use prost::Message;
use prost_reflect::{
    DeserializeOptions, DynamicMessage, Kind, MessageDescriptor, SerializeOptions,
};
use serde_json::Value;
use std::io::Write;

/// Why a body is no message, in words for whoever sent it.
#[derive(Debug, thiserror::Error)]
pub(super) enum Malformed {
    /// The text is no JSON.
    #[error("the body is no JSON: {0}")]
    Syntax(#[source] serde_json::Error),
    /// The JSON does not describe the message.
    #[error("the body is no {message}: {source}")]
    Shape {
        message: String,
        #[source]
        source: serde_json::Error,
    },
    /// One value was asked for.
    #[error("the body goes on behind its first value")]
    Trailing,
}

/// Encodes the one message in `body`. An empty body is an empty message.
pub(super) fn read_one(body: &[u8], message: &MessageDescriptor) -> Result<Vec<u8>, Malformed> {
    let mut values = serde_json::Deserializer::from_slice(body).into_iter::<Value>();
    let value = values.next().transpose().map_err(Malformed::Syntax)?;
    if values.next().is_some() {
        return Err(Malformed::Trailing);
    }
    encode(value.unwrap_or(Value::Null), message)
}

/// Encodes the messages that follow each other in `body`.
pub(super) fn read_all(
    body: &[u8],
    message: &MessageDescriptor,
) -> Result<Vec<Vec<u8>>, Malformed> {
    let values = serde_json::Deserializer::from_slice(body).into_iter::<Value>();
    values
        .map(|value| encode(value.map_err(Malformed::Syntax)?, message))
        .collect()
}

fn encode(mut value: Value, message: &MessageDescriptor) -> Result<Vec<u8>, Malformed> {
    if value.is_null() {
        return Ok(Vec::new());
    }
    forget_strangers(&mut value, message);
    // What is left must be understood: a misspelt name of an enum would otherwise count as its first one.
    let options = DeserializeOptions::new().deny_unknown_fields(true);
    let read = DynamicMessage::deserialize_with_options(message.clone(), value, &options);
    let read = read.map_err(|source| Malformed::Shape {
        message: message.name().to_owned(),
        source,
    })?;
    Ok(read.encode_to_vec())
}

/// Takes out the fields that `message` does not have. Deep nesting has been refused by the JSON parser.
fn forget_strangers(value: &mut Value, message: &MessageDescriptor) {
    let Value::Object(fields) = value else {
        return;
    };
    fields.retain(|name, value| {
        let by_json_name = message.get_field_by_json_name(name);
        let Some(field) = by_json_name.or_else(|| message.get_field_by_name(name)) else {
            return false;
        };
        if let Kind::Message(inner) = field.kind() {
            match value {
                Value::Array(items) => items
                    .iter_mut()
                    .for_each(|item| forget_strangers(item, &inner)),
                one => forget_strangers(one, &inner),
            }
        }
        true
    });
}

/// Appends the encoded message `bytes` to `out` as JSON.
pub(super) fn write(
    bytes: &[u8],
    message: &MessageDescriptor,
    out: &mut Vec<u8>,
) -> Result<(), Unprintable> {
    let decoded = DynamicMessage::decode(message.clone(), bytes)?;
    let options = SerializeOptions::new()
        .use_proto_field_name(true)
        .skip_default_fields(true)
        .stringify_64_bit_integers(true);
    let mut json = serde_json::Serializer::new(&mut *out);
    decoded.serialize_with_options(&mut json, &options)?;
    out.flush().map_err(serde_json::Error::io)?;
    Ok(())
}

/// Why a message of ours cannot be shown: a bug.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unprintable {
    #[error("decode the reply")]
    Decode(#[from] prost::DecodeError),
    #[error("print the reply")]
    Print(#[from] serde_json::Error),
}

#[cfg(test)]
mod tests;
