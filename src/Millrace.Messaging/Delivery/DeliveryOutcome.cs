namespace Millrace;

/// <summary>How an attempt ended: a closed set, decided by the shell and carried out by the sequencer.</summary>
internal abstract record DeliveryOutcome
{
    private DeliveryOutcome()
    {
    }

    public static DeliveryOutcome Completed { get; } = new Complete();

    public static DeliveryOutcome DeadLettered { get; } = new DeadLetter();

    public static DeliveryOutcome Abandoned { get; } = new Abandon();

    /// <summary>The record is done: the floor may pass it, and its key goes on.</summary>
    public sealed record Complete : DeliveryOutcome;

    /// <summary>The record is a dead letter, which is durable: the floor may pass it, and its key goes on.</summary>
    public sealed record DeadLetter : DeliveryOutcome;

    /// <summary>The record keeps the head of its lane and is tried again after the delay. Its key waits, others flow.</summary>
    public sealed record RetryAfter(TimeSpan Delay, DeliveryProgress Next) : DeliveryOutcome;

    /// <summary>
    /// The attempt was cut short because the partition leaves or the endpoint stops. The record stays incomplete, so
    /// that whoever owns the partition next starts with it.
    /// </summary>
    public sealed record Abandon : DeliveryOutcome;
}
