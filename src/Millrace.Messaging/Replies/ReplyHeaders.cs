namespace Millrace;

/// <summary>The record headers by which a command asks for a reply, and those of the reply.</summary>
/// <remarks>
/// <para>A command that carries <see cref="ReplyTo"/> gets one record on that topic, with the key of <see cref="ReplyKey"/>,
/// the id <c>{command id}/reply</c>, the type <see cref="ReplyType"/>, the command's id as its causation, a
/// <see cref="Status"/>, and the handler's value as JSON (<c>null</c> where there is none).</para>
/// <para>The reply is written after what the handler published and before the command counts as done. A command that is
/// delivered again is answered again, with the same id.</para>
/// </remarks>
public static class ReplyHeaders
{
    /// <summary>On a command: the topic that its reply goes to. It must exist.</summary>
    public const string ReplyTo = "millrace-reply-to";

    /// <summary>On a command: the record key of its reply.</summary>
    public const string ReplyKey = "millrace-reply-key";

    /// <summary>On a command that undoes another: the message id of that other one.</summary>
    public const string Undoes = "millrace-undoes";

    /// <summary>On a reply: <c>completed</c>, <c>rejected</c> or <c>failed</c>.</summary>
    public const string Status = "millrace-status";

    /// <summary>On a reply that is rejected or failed: why.</summary>
    public const string Reason = "millrace-reason";

    /// <summary>The <c>ce_type</c> of a reply.</summary>
    public const string ReplyType = "millrace.reply.v1";

    /// <summary>The text of a status in its header.</summary>
    /// <param name="status">The status.</param>
    public static string Format(ReplyStatus status) => status switch
    {
        ReplyStatus.Completed => "completed",
        ReplyStatus.Rejected => "rejected",
        ReplyStatus.Failed => "failed",
        _ => throw new ArgumentOutOfRangeException(nameof(status), status, "This is no status of a reply."),
    };

    /// <summary>Reads the text of a status; false when it is none.</summary>
    /// <param name="text">The header's text; null where the header is absent.</param>
    /// <param name="status">The status.</param>
    public static bool TryParse(string? text, out ReplyStatus status)
    {
        (bool isKnown, status) = text switch
        {
            "completed" => (true, ReplyStatus.Completed),
            "rejected" => (true, ReplyStatus.Rejected),
            "failed" => (true, ReplyStatus.Failed),
            _ => (false, default),
        };
        return isKnown;
    }
}
