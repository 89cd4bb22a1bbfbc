namespace Millrace;

/// <summary>What the attempts at a record left so far, carried from one to the next.</summary>
/// <param name="Attempt">Which attempt is running or comes next, from 1.</param>
/// <param name="FirstFailure">When the first attempt failed; null while none has.</param>
/// <param name="Conclusion">What the record came to, where only the writing of that is outstanding; otherwise null.</param>
internal sealed record DeliveryProgress(int Attempt, DateTimeOffset? FirstFailure, Conclusion? Conclusion)
{
    public static DeliveryProgress Start { get; } = new(1, null, null);

    public DeliveryProgress Failed(DateTimeOffset now) => new(Attempt + 1, FirstFailure ?? now, null);
}
