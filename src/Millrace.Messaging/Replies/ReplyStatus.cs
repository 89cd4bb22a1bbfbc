using System.Text.Json.Serialization;

namespace Millrace;

/// <summary>What became of a command, as its reply says.</summary>
[JsonConverter(typeof(JsonStringEnumConverter<ReplyStatus>))]
public enum ReplyStatus
{
    /// <summary>The command was carried out.</summary>
    Completed,

    /// <summary>The command was refused, which is an answer: nothing was done.</summary>
    Rejected,

    /// <summary>The command's retries are exhausted and it is a dead letter: what it has done is not known.</summary>
    Failed,
}
