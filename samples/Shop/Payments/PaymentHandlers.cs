using System.Globalization;
using Microsoft.EntityFrameworkCore;
using Millrace;
using Millrace.EntityFrameworkCore;

namespace Shop;

/// <summary>The Payment service: charges, refunds, and a fraud score for every order that it hears of.</summary>
internal sealed class PaymentHandlers(PaymentDatabase database, Trouble trouble, TimeProvider time)
{
    private const long LargeOrderCents = 20_000;

    public async Task<Reply<PaymentReceipt>> HandleAsync(ChargePayment command, MessageContext context, CancellationToken cancellationToken)
    {
        Reply<PaymentReceipt> reply = await context.OnceAsync<PaymentReceipt>(database, async token =>
        {
            if (trouble.BankDeclines(command.OrderId))
            {
                return Reply.Reject("card-declined");
            }

            LedgerEntry charge = new() { OrderId = command.OrderId, AmountCents = command.AmountCents, At = time.GetUtcNow() };
            database.Ledger.Add(charge);
            await database.SaveChangesAsync(token);
            trouble.BeforeCommit(context);
            return new PaymentReceipt(string.Create(CultureInfo.InvariantCulture, $"receipt-{charge.Id}"));
        }, cancellationToken);
        trouble.AfterCommit(context);
        return reply;
    }

    public async Task<Reply> HandleAsync(RefundPayment command, MessageContext context, CancellationToken cancellationToken)
    {
        Reply reply = await context.OnceAsync(database, async token =>
        {
            long charged = await database.Ledger.Where(entry => entry.OrderId == command.OrderId).SumAsync(entry => entry.AmountCents, token);
            // Nothing to give back where the charge never happened: the undo runs also when nobody knows whether it did.
            if (charged > 0)
            {
                database.Ledger.Add(new LedgerEntry { OrderId = command.OrderId, AmountCents = -charged, At = time.GetUtcNow() });
            }

            trouble.BeforeCommit(context);
            return Reply.Done;
        }, cancellationToken);
        trouble.AfterCommit(context);
        return reply;
    }

    public async Task HandleAsync(OrderCreated created, MessageContext context, CancellationToken cancellationToken)
    {
        await context.OnceAsync(database, _ =>
        {
            int suspicion = (created.Details.TotalCents > LargeOrderCents ? 40 : 5) + (created.Details.Quantity > 4 ? 20 : 0);
            database.FraudScores.Add(new FraudScore { OrderId = created.OrderId, Score = suspicion });
            trouble.BeforeCommit(context);
            return Task.CompletedTask;
        }, cancellationToken);
        trouble.AfterCommit(context);
    }
}
