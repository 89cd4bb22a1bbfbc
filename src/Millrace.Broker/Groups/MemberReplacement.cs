namespace Millrace.Broker;

/// <summary>A static member has come back and got a new id, and this is on its way to the disk.</summary>
/// <param name="Write">The number of the snapshot that says it.</param>
/// <param name="Before">The member as it was, whose place is given back if the write fails.</param>
/// <param name="LeaderBefore">Who led the group until now.</param>
/// <param name="CanSkipAssignment">See <see cref="JoinInput.CanSkipAssignment"/>.</param>
internal sealed record MemberReplacement(long Write, GroupMember Before, string LeaderBefore, bool CanSkipAssignment);
