using System.Diagnostics.CodeAnalysis;

namespace Millrace;

/// <summary>
/// A handler's answer to a command that has no answer of its own: done, or refused.
/// </summary>
/// <remarks>
/// A refusal is an answer: it is delivered to whoever waits for it and never retried. Something that may succeed later
/// (a time-out, a lost connection) is an exception, not a refusal.
/// </remarks>
public sealed class Reply
{
    private Reply(Rejection? rejection) => Rejection = rejection;

    /// <summary>The command was carried out.</summary>
    public static Reply Done { get; } = new(rejection: null);

    /// <summary>Why the command was refused; null when it was carried out.</summary>
    public Rejection? Rejection { get; }

    /// <summary>Whether the command was refused.</summary>
    [MemberNotNullWhen(true, nameof(Rejection))]
    public bool IsRejected => Rejection is not null;

    /// <summary>Refuses a command. Converts to <see cref="Reply"/> and to any <see cref="Reply{T}"/>.</summary>
    /// <param name="reason">The reason in a form that a program can compare, for example <c>card-declined</c>.</param>
    /// <exception cref="ArgumentException"><paramref name="reason"/> is empty.</exception>
    public static Rejection Reject(string reason)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(reason);
        return new Rejection(reason);
    }

    /// <summary>A refusal as the answer.</summary>
    public static implicit operator Reply(Rejection rejection)
    {
        ArgumentNullException.ThrowIfNull(rejection);
        return new Reply(rejection);
    }

    /// <summary><c>done</c>, or <c>rejected: reason</c>.</summary>
    public override string ToString() => IsRejected ? $"rejected: {Rejection.Reason}" : "done";
}

/// <summary>A handler's answer to an <see cref="ICommand{TReply}"/>: a value, or a refusal.</summary>
/// <typeparam name="T">The type of the value.</typeparam>
/// <remarks>
/// A handler returns the value itself or <see cref="Reply.Reject"/>; both convert. A refusal is an answer: it is
/// delivered to whoever waits for it and never retried.
/// </remarks>
public sealed class Reply<T>
{
    private readonly T? _value;

    private Reply(T? value, Rejection? rejection)
    {
        _value = value;
        Rejection = rejection;
    }

    /// <summary>The handler's value.</summary>
    /// <exception cref="InvalidOperationException">The command was refused; ask <see cref="IsRejected"/> first.</exception>
    public T Value => IsRejected
        ? throw new InvalidOperationException($"The command was refused ({Rejection.Reason}): there is no value. Ask IsRejected first.")
        : _value!;

    /// <summary>Why the command was refused; null when it was carried out.</summary>
    public Rejection? Rejection { get; }

    /// <summary>Whether the command was refused.</summary>
    [MemberNotNullWhen(true, nameof(Rejection))]
    public bool IsRejected => Rejection is not null;

    /// <summary>A value as the answer.</summary>
    public static implicit operator Reply<T>(T value) => new(value, rejection: null);

    /// <summary>A refusal as the answer.</summary>
    public static implicit operator Reply<T>(Rejection rejection)
    {
        ArgumentNullException.ThrowIfNull(rejection);
        return new Reply<T>(default, rejection);
    }

    /// <summary>The value as text, or <c>rejected: reason</c>.</summary>
    public override string ToString() => IsRejected ? $"rejected: {Rejection.Reason}" : $"{_value}";
}

/// <summary>Why a command was refused.</summary>
/// <param name="Reason">The reason in a form that a program can compare, for example <c>card-declined</c>.</param>
public sealed record Rejection(string Reason);
