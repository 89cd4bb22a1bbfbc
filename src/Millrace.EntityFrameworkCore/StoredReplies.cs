using Microsoft.EntityFrameworkCore;

namespace Millrace.EntityFrameworkCore;

/// <summary>
/// Handles a message once: what a handler does in its database, its reply and what it publishes are stored in one
/// transaction, and a message that comes again is answered with what was stored.
/// </summary>
public static class StoredReplies
{
    /// <summary>Why a command is refused whose undo came first.</summary>
    public const string Undone = "undone";

    /// <summary>Handles a command that has a reply, once.</summary>
    /// <remarks>
    /// <para>In one transaction of the database: looks the message up; if it is not there, runs the body, saves changes, and
    /// stores the reply and what the body published. A message that is there is answered with the stored reply, and what was
    /// published then is published again with the same ids: a crash may have come between the transaction and the log.</para>
    /// <para>A body that throws leaves nothing: no change, no reply, no message. Two workers with one message: one of them
    /// commits, the other one's changes are rolled back, and both give the one reply.</para>
    /// <para>A command that undoes another (<see cref="MessageContext.Undoes"/>) marks that one as <c>rejected: undone</c>
    /// where it has not come yet, so that it is refused when it comes late.</para>
    /// <para>The transaction runs inside the database's execution strategy. An attempt after the first begins with an empty
    /// change tracker, so that a body loads what it changes. Effects outside of the database happen once an attempt: give
    /// them <see cref="MessageContext.IdempotencyKey"/>. Call it once in a handler: a second call finds the first one's reply.</para>
    /// </remarks>
    /// <typeparam name="T">The reply's type, written and read with <see cref="MessagingOptions.Json"/>.</typeparam>
    /// <param name="context">The message.</param>
    /// <param name="database">The database, whose model has <see cref="StoredRepliesModel.AddMillraceStoredReplies"/>.</param>
    /// <param name="body">What to do. It needs not save changes. It may run several times.</param>
    /// <param name="cancellationToken">Rolls back.</param>
    /// <exception cref="InvalidOperationException">The model has no stored replies, or a transaction is open already.</exception>
    /// <exception cref="DbUpdateException">The changes cannot be saved.</exception>
    public static async Task<Reply<T>> OnceAsync<T>(
        this MessageContext context, DbContext database, Func<CancellationToken, Task<Reply<T>>> body, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(body);
        Transaction transaction = new(context, database);
        StoredReply stored = await transaction.RunAsync(
            async token =>
            {
                Reply<T> reply = await body(token) ?? throw NullReply();
                return reply.IsRejected ? Answer.Refused(reply.Rejection.Reason) : new Answer(ReplyStatus.Completed, null, transaction.Write(reply.Value));
            },
            cancellationToken);
        if (stored.Status == ReplyStatus.Rejected) return Reply.Reject(stored.Reason!);
        return transaction.Read<T>(stored);
    }

    /// <summary>Handles a command that has no reply of its own and may be refused, once.</summary>
    /// <inheritdoc cref="OnceAsync{T}"/>
    public static async Task<Reply> OnceAsync(
        this MessageContext context, DbContext database, Func<CancellationToken, Task<Reply>> body, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(body);
        StoredReply stored = await new Transaction(context, database).RunAsync(
            async token => (await body(token) ?? throw NullReply()).Rejection is { } rejection ? Answer.Refused(rejection.Reason) : Answer.Done,
            cancellationToken);
        return stored.Status == ReplyStatus.Rejected ? Reply.Reject(stored.Reason!) : Reply.Done;
    }

    /// <summary>
    /// Handles an event, or a command that is never refused, once. The answer is done, or refused where a command's undo
    /// came first: return it from handlers of commands.
    /// </summary>
    /// <inheritdoc cref="OnceAsync{T}"/>
    public static async Task<Reply> OnceAsync(
        this MessageContext context, DbContext database, Func<CancellationToken, Task> body, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(body);
        StoredReply stored = await new Transaction(context, database).RunAsync(
            async token =>
            {
                // A task of a refusal is a task, too, so that the compiler takes it for one that gives nothing.
                Task task = body(token);
                await task;
                return task is Task<Rejection> refusal ? Answer.Refused((await refusal ?? throw NullReply()).Reason) : Answer.Done;
            },
            cancellationToken);
        return stored.Status == ReplyStatus.Rejected ? Reply.Reject(stored.Reason!) : Reply.Done;
    }

    private static InvalidOperationException NullReply() =>
        new("The body returned null where a reply is due. Return the value, Reply.Done or Reply.Reject(reason).");
}
