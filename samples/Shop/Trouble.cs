using Millrace;

namespace Shop;

/// <summary>
/// The world outside of a service: banks decline, shelves are empty, networks break. What happens to an order follows from the seed and
/// the order, so that a run can be repeated.
/// </summary>
internal sealed class Trouble(ShopOptions options)
{
    /// <summary>From here on an attempt succeeds: trouble that is called transient ends.</summary>
    public const int MaxFailedAttempts = 5;

    public bool BankDeclines(string orderId) => Happens(options.DeclineRate, $"decline/{orderId}");

    public bool GoodsAreMissing(string orderId) => Happens(options.OutOfStockRate, $"out-of-stock/{orderId}");

    /// <summary>The service fails with its work done and not committed: the transaction rolls back, and the next attempt does it.</summary>
    public void BeforeCommit(MessageContext context) => Strike(context, "before");

    /// <summary>The service fails with its work committed and not answered: the next attempt must find the stored reply, or do it twice.</summary>
    public void AfterCommit(MessageContext context) => Strike(context, "after");

    private void Strike(MessageContext context, string moment)
    {
        // Two moments share the rate of one attempt.
        if (context.Attempt <= MaxFailedAttempts
            && Happens(options.FlakyRate / 2, $"{moment}/{context.Endpoint}/{context.Type}/{context.Key}/{context.Attempt}"))
        {
            throw new TimeoutException($"The {context.Endpoint} service lost its network {moment} it committed {context.Type} of {context.Key}.");
        }
    }

    private bool Happens(double rate, string name) => Chance.Of(options.Seed, name) < rate;
}
