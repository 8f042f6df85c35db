export interface InviteFlags {
  room?: string;
  role?: string;
  for: string;
  name?: string;
  relay?: string;
  keyFile?: string;
  issuer?: string;
  audience?: string;
  invitationFile?: string;
}
