namespace Millrace.EntityFrameworkCore;

/// <summary>What a body answered, as it is stored.</summary>
internal sealed record Answer(ReplyStatus Status, string? Reason, string? Body)
{
    public static Answer Done { get; } = new(ReplyStatus.Completed, null, null);

    public static Answer Refused(string reason) => new(ReplyStatus.Rejected, reason, null);
}
