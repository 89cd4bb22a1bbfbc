namespace Millrace.EntityFrameworkCore;

/// <summary>
/// What became of a message that was handled by <see cref="StoredReplies"/>: its reply and what its handler published,
/// in the transaction of what the handler did.
/// </summary>
public sealed class StoredReply
{
    /// <summary>The message's id, with <see cref="Endpoint"/> the primary key. At most 512 characters.</summary>
    public required string MessageId { get; init; }

    /// <summary>
    /// The endpoint that handled an event, since several may; empty for a command, which one endpoint handles, so that its
    /// undo finds it by its id alone.
    /// </summary>
    public required string Endpoint { get; init; }

    /// <summary>Whether the message was carried out or refused. Never failed: what failed has stored nothing.</summary>
    public required ReplyStatus Status { get; init; }

    /// <summary>Why a command was refused; null when it was carried out.</summary>
    public string? Reason { get; init; }

    /// <summary>The reply as JSON; null where there is none.</summary>
    public string? Body { get; init; }

    /// <summary>What the handler published and sent, as JSON.</summary>
    public required string Outputs { get; init; }

    /// <summary>When the reply was stored, in UTC by the application's clock: what deleting old ones goes by.</summary>
    public required DateTime StoredAt { get; init; }
}
