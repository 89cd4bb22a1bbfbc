namespace Millrace.Testing.Tests;

[Event("mill.grain-delivered", Version = 2)]
public sealed record GrainDelivered([property: MessageKey] string Farm, int Sacks);

[Event("mill.flour-ground")]
public sealed record FlourGround([property: MessageKey] string Farm, int Sacks);

[Event("mill.flour-sold")]
public sealed record FlourSold([property: MessageKey] string Farm, int Sacks);

[Command("mill.grind")]
public sealed record Grind([property: MessageKey] string Farm, int Sacks);
